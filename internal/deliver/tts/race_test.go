//go:build race

package tts_test

// everyLocale selects the locales of the longest test, which takes minutes with the race
// detector. All locales share their code, so that a part of them shows its races.
const everyLocale = 8
