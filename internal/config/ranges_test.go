package config_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/config"
)

// numeric returns the keys of all numbers in a type, with [] for elements of lists.
func numeric(typ reflect.Type, key string) (keys []string) {
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			f := typ.Field(i)
			keys = append(keys, numeric(f.Type, strings.TrimPrefix(key+"."+f.Tag.Get("yaml"), "."))...)
		}
	case reflect.Slice:
		return numeric(typ.Elem(), key+"[]")
	case reflect.Bool, reflect.String, reflect.Map:
	case reflect.Int, reflect.Int64:
		return []string{key}
	default:
		return []string{key + " of type " + typ.String()} // a new numeric type
	}
	return keys
}

// TestEveryNumberHasARange fails for a numeric setting without a row, and for a row without
// its setting.
func TestEveryNumberHasARange(t *testing.T) {
	t.Parallel()
	var rows []string
	for _, r := range config.Ranges() {
		if slices.Contains(rows, r.Key) {
			t.Errorf("%s has two ranges", r.Key)
		}
		if r.Min > r.Max || r.Min < 0 {
			t.Errorf("%s: %s is not a range", r.Key, r)
		}
		rows = append(rows, r.Key)
	}
	keys := numeric(reflect.TypeFor[config.Config](), "")
	for _, key := range keys {
		if !slices.Contains(rows, key) {
			t.Errorf("%s has no range", key)
		}
	}
	for _, key := range rows {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is not a numeric setting", key)
		}
	}
}

// setNumber sets a number by the key of its range; it adds one element to lists.
func setNumber(v reflect.Value, key string, n int64) {
	if key == "" {
		v.SetInt(n)
		return
	}
	if rest, ok := strings.CutPrefix(key, "[]"); ok {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		setNumber(v.Index(0), strings.TrimPrefix(rest, "."), n)
		return
	}
	name, rest, _ := strings.Cut(key, ".")
	name, list, isList := strings.Cut(name, "[]")
	if isList {
		rest = strings.TrimSuffix("[]"+list+"."+rest, ".")
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == name {
			setNumber(v.Field(i), rest, n)
			return
		}
	}
	panic("no setting " + key)
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for _, r := range config.Ranges() {
		t.Run(r.Key, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int64{math.MinInt64, -1, 0, r.Min - 1, r.Min, r.Max, r.Max + 1, math.MaxInt64} {
				c := config.Default()
				setNumber(reflect.ValueOf(&c).Elem(), r.Key, n)
				shown := fmt.Sprint(n)
				if r.Duration {
					shown = config.Duration(n)
				}
				want := fmt.Sprintf("%s: must be %s, not %s", strings.ReplaceAll(r.Key, "[]", "[0]"), r, shown)
				allowed := n >= r.Min && n <= r.Max || r.Zero && n == 0
				err := c.Validate()
				if refused := err != nil && strings.Contains("\n"+err.Error()+"\n", "\n"+want+"\n"); refused == allowed {
					t.Errorf("%s = %d: %v", r.Key, n, err)
				}
			}
		})
	}
}

func TestRangeString(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]config.Range{
		"1024 to 1048576":  {Min: 1024, Max: 1 << 20},
		"1ms to 10m":       {Min: int64(time.Millisecond), Max: int64(10 * time.Minute), Duration: true},
		"1h to 720h, or 0": {Min: int64(time.Hour), Max: int64(720 * time.Hour), Duration: true, Zero: true},
		"1m30s to 1h30m":   {Min: int64(90 * time.Second), Max: int64(90 * time.Minute), Duration: true},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
