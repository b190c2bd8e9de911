package gsm

// none stands in the tables for a septet without a character. It is itself in no
// table.
const none = '·'

// The tables of 23.038, by septet: a line has the sixteen of one column of the
// specification. Septet 0x09 is the capital Ç (§6.2.1; early texts of GSM 03.38
// left open which of the two a phone shows). Septet 0x1B is the escape. In the
// tables of a single shift, 0x0D must have no character (annex A.2, note 4).
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
