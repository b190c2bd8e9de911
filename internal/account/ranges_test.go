package account_test

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"countersign/internal/account"
	"countersign/internal/verify"
)

// TestNumbersHaveBounds: every numeric setting refuses negative values and the maximum of
// its type.
func TestNumbersHaveBounds(t *testing.T) {
	t.Parallel()
	found := 0
	for _, n := range []int64{math.MinInt64, -1, math.MaxInt64} {
		each(reflect.TypeFor[account.Settings](), func(v reflect.Value) reflect.Value { return v }, func(name string, set func(reflect.Value, int64)) {
			found++
			var s account.Settings
			set(reflect.ValueOf(&s).Elem(), n)
			if _, ok := errors.AsType[*account.Error](s.Apply(&verify.Account{})); !ok {
				t.Errorf("%s = %d is accepted", name, n)
			}
		})
	}
	if found < 3*4 {
		t.Errorf("%d numbers found", found)
	}
}

// each calls do for every number in a type, with a function that sets it; lists get one
// element.
func each(typ reflect.Type, at func(reflect.Value) reflect.Value, do func(name string, set func(reflect.Value, int64))) {
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			each(typ.Field(i).Type, func(v reflect.Value) reflect.Value { return at(v).Field(i) }, func(name string, set func(reflect.Value, int64)) {
				do(typ.Field(i).Name+" "+name, set)
			})
		}
	case reflect.Slice:
		each(typ.Elem(), func(v reflect.Value) reflect.Value {
			list := at(v)
			if list.Len() == 0 {
				list.Set(reflect.MakeSlice(list.Type(), 1, 1))
			}
			return list.Index(0)
		}, do)
	case reflect.Int, reflect.Int64:
		do("", func(v reflect.Value, n int64) { at(v).SetInt(n) })
	}
}
