package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Changes returns the sorted keys of the settings that differ in next, such as
// limits.body_bytes and carriers[1].smpp.rate. For a list of another length it returns
// the key of the list.
func (c Config) Changes(next Config) []string {
	return changes(reflect.ValueOf(c), reflect.ValueOf(next), "")
}

func changes(a, b reflect.Value, key string) (list []string) {
	switch {
	case a.Kind() == reflect.Struct:
		old, now := fields(a), fields(b)
		for _, name := range slices.Sorted(maps.Keys(old)) {
			path := name
			if key != "" {
				path = key + "." + name
			}
			list = append(list, changes(old[name], now[name], path)...)
		}
	case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.Struct && a.Len() == b.Len():
		for i := range a.Len() {
			list = append(list, changes(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", key, i))...)
		}
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		list = append(list, key)
	}
	return list
}
