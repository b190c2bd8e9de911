//go:build !race

package tts_test

const everyLocale = 1
