package gsm

// none marks a septet without a character. No table contains this character.
const none = '·'

// Tables of 23.038 by septet. Each line is one column of the specification, 16 septets.
// Septet 0x09 is the capital Ç (§6.2.1; early versions of GSM 03.38 leave the case open).
// Septet 0x1B is the escape. In single shift tables, 0x0D must have no character (annex
// A.2, note 4).
const (
	mainDefault = "" + // §6.2.1
		"@£$¥èéùìòÇ\nØø\rÅå" +
		"Δ_ΦΓΛΩΠΨΣΘΞ·ÆæßÉ" +
		" !\"#¤%&'()*+,-./" +
		"0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNO" +
		"PQRSTUVWXYZÄÖÑÜ§" +
		"¿abcdefghijklmno" +
		"pqrstuvwxyzäöñüà"

	extDefault = "" + // §6.2.1.1
		"··········\f·····" +
		"····^···········" +
		"········{}·····\\" +
		"············[~]·" +
		"|···············" +
		"················" +
		"·····€··········" +
		"················"

	lockingTurkish = "" + // A.3.1
		"@£$¥€éùıòÇ\nĞğ\rÅå" +
		"Δ_ΦΓΛΩΠΨΣΘΞ·ŞşßÉ" +
		" !\"#¤%&'()*+,-./" +
		"0123456789:;<=>?" +
		"İABCDEFGHIJKLMNO" +
		"PQRSTUVWXYZÄÖÑÜ§" +
		"çabcdefghijklmno" +
		"pqrstuvwxyzäöñüà"

	singleTurkish = "" + // A.2.1
		"··········\f·····" +
		"····^···········" +
		"········{}·····\\" +
		"············[~]·" +
		"|······Ğ·İ······" +
		"···Ş············" +
		"···ç·€·ğ·ı······" +
		"···ş············"

	singleSpanish = "" + // A.2.2
		"·········ç\f·····" +
		"····^···········" +
		"········{}·····\\" +
		"············[~]·" +
		"|Á·······Í·····Ó" +
		"·····Ú··········" +
		"·á···€···í·····ó" +
		"·····ú··········"

	lockingPortuguese = "" + // A.3.3
		"@£$¥êéúíóç\nÔô\rÁá" +
		"Δ_ªÇÀ∞^\\€Ó|·ÂâÊÉ" +
		" !\"#º%&'()*+,-./" +
		"0123456789:;<=>?" +
		"ÍABCDEFGHIJKLMNO" +
		"PQRSTUVWXYZÃÕÚÜ§" +
		"~abcdefghijklmno" +
		"pqrstuvwxyzãõ`üà"

	singlePortuguese = "" + // A.2.3
		"·····ê···ç\fÔô·Áá" +
		"··ΦΓ^ΩΠΨΣΘ·····Ê" +
		"········{}·····\\" +
		"············[~]·" +
		"|À·······Í·····Ó" +
		"·····Ú·····ÃÕ···" +
		"·Â···€···í·····ó" +
		"·····ú·····ãõ··â"
)
