package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestBuildOf(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "7c0a81f"},
			{Key: "vcs.time", Value: "2026-11-30T13:15:08Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	want := build{"v1.2.3", "7c0a81f", true, "2026-11-30T13:15:08Z", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if got := buildOf(info, true); got != want {
		t.Errorf("buildOf = %+v, want %+v", got, want)
	}
	want = build{Version: "(devel)", Go: want.Go, Platform: want.Platform}
	for _, info := range []*debug.BuildInfo{nil, {}} {
		if got := buildOf(info, info != nil); got != want {
			t.Errorf("buildOf(%v) = %+v, want %+v", info, got, want)
		}
	}
}
