package web

import "reflect"

// redacted puts every text in v, a pointer to plain data, through clean. Done right after reading, no page can
// forget it.
func redacted(v any, clean func(string) string) { redactValue(reflect.ValueOf(v), clean) }

func redactValue(v reflect.Value, clean func(string) string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			redactValue(v.Elem(), clean)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() || v.Type().Field(i).Anonymous {
				redactValue(v.Field(i), clean)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			redactValue(v.Index(i), clean)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(key))
			redactValue(e, clean)
			v.SetMapIndex(key, e)
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(clean(v.String()))
		}
	}
}
