package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is the use of resources by processes since their start.
type usage struct {
	cpu     time.Duration
	written float64 // octets written to disk
	mallocs float64 // allocated objects; NaN if unknown
}

// tick is the unit of CPU time in /proc (USER_HZ, 100 on all platforms of Go).
const tick = time.Second / 100

// spent returns the usage of a process and its ended children.
func spent(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name may contain spaces
	fields := strings.Fields(string(rest))
	if len(fields) < 15 {
		return u, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(n) * tick
	}
	u.written, err = procValue(pid, "io", "write_bytes")
	return u, err
}

// family returns the usage of a process and all its descendants.
func family(pid int) (sum usage, err error) {
	sum.mallocs = math.NaN()
	own, err := spent(pid)
	if err != nil {
		return sum, err
	}
	sum.cpu, sum.written = own.cpu, own.written
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return sum, err
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread or child may have ended
		for _, f := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				return sum, err
			}
			if u, err := family(child); err == nil {
				sum.cpu += u.cpu
				sum.written += u.written
			}
		}
	}
	return sum, nil
}

// procValue reads a line "name: value" of a file in /proc/PID.
func procValue(pid int, file, name string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			fields := strings.Fields(value)
			if len(fields) == 0 {
				break
			}
			return strconv.ParseFloat(fields[0], 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s", pid, file, name)
}

const mebi = 1 << 20

// peak returns the maximum memory of a process, in octets, since its start or the last
// forgetPeak.
func peak(pid int) (float64, error) {
	kib, err := procValue(pid, "status", "VmHWM")
	return kib * 1024, err
}

// resident returns the current memory of a process, in octets.
func resident(pid int) (float64, error) {
	kib, err := procValue(pid, "status", "VmRSS")
	return kib * 1024, err
}

// forgetPeak resets peak. If the system does not allow this, peak continues to count from the start
// of the process.
func forgetPeak(pid int) { _ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) }

// ownCPU returns the CPU time of this process.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// get returns the status code and the body of a page.
func get(ctx context.Context, url string) (code int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// metric reads the sum of all samples of a metric from /metrics.
func metric(ctx context.Context, url string, names ...string) (map[string]float64, error) {
	_, body, err := get(ctx, url+"/metrics")
	if err != nil {
		return nil, err
	}
	found := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if space < 0 {
			continue
		}
		sample, value := line[:space], line[space+1:]
		name, _, _ := strings.Cut(sample, "{")
		for _, wanted := range names {
			if name != wanted && sample != wanted {
				continue
			}
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return nil, err
			}
			found[wanted] += v
		}
	}
	return found, nil
}
