package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/punctual-go/punctual"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	jsonType     = reflect.TypeFor[json.RawMessage]()
	scheduleType = reflect.TypeFor[punctual.Schedule]()
)

// differences lists where two values differ, by the path of the field. Times count as equal when they are the same instant, JSON
// when it means the same, schedules when their texts are the same, and empty slices and maps when both are empty.
func differences(want, got any) []string {
	var found []string
	differ(&found, "", reflect.ValueOf(want), reflect.ValueOf(got))
	return found
}

func differ(found *[]string, path string, want, got reflect.Value) {
	report := func(want, got any) {
		*found = append(*found, fmt.Sprintf("%s: want %s, got %s", strings.TrimPrefix(path, "."), show(want), show(got)))
	}
	if want.IsValid() != got.IsValid() || want.IsValid() && want.Type() != got.Type() {
		report(want, got)
		return
	}
	switch {
	case !want.IsValid():
	case want.Type() == timeType:
		if a, b := want.Interface().(time.Time), got.Interface().(time.Time); !a.Equal(b) {
			report(a, b)
		}
	case want.Type() == jsonType:
		if !sameJSON(want.Bytes(), got.Bytes()) {
			report(string(want.Bytes()), string(got.Bytes()))
		}
	case want.Type() == scheduleType:
		if a, b := scheduleText(want), scheduleText(got); a != b {
			report(a, b)
		}
	default:
		differByKind(found, path, want, got, report)
	}
}

func differByKind(found *[]string, path string, want, got reflect.Value, report func(want, got any)) {
	switch want.Kind() {
	case reflect.Struct:
		for i := range want.NumField() {
			differ(found, path+"."+want.Type().Field(i).Name, want.Field(i), got.Field(i))
		}
	case reflect.Pointer:
		if want.IsNil() || got.IsNil() {
			if want.IsNil() != got.IsNil() {
				report(want.Interface(), got.Interface())
			}
			return
		}
		differ(found, path, want.Elem(), got.Elem())
	case reflect.Slice:
		if want.Len() != got.Len() {
			report(want.Interface(), got.Interface())
			return
		}
		for i := range want.Len() {
			differ(found, fmt.Sprintf("%s[%d]", path, i), want.Index(i), got.Index(i))
		}
	case reflect.Map:
		if want.Len()+got.Len() > 0 && !reflect.DeepEqual(want.Interface(), got.Interface()) {
			report(want.Interface(), got.Interface())
		}
	default:
		if !reflect.DeepEqual(want.Interface(), got.Interface()) {
			report(want.Interface(), got.Interface())
		}
	}
}

func scheduleText(v reflect.Value) string {
	if v.IsNil() {
		return "none"
	}
	return v.Interface().(punctual.Schedule).String()
}

// sameJSON reports whether two texts are the same JSON value, with numbers taken digit by digit.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	decode := func(text []byte) (v any, err error) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		err = d.Decode(&v)
		return v, err
	}
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// show prints a value so that a failure can be read, even one of a megabyte.
func show(v any) string {
	var text string
	switch v := v.(type) {
	case time.Time:
		text = v.UTC().Format(time.RFC3339Nano)
	case string:
		text = fmt.Sprintf("%q", v)
	default:
		text = fmt.Sprintf("%+v", v)
	}
	if len(text) > 300 {
		text = fmt.Sprintf("%s… (%d bytes)", text[:300], len(text))
	}
	return text
}
