package cronexpr

import (
	"runtime"
	"sync"
	"weak"
)

// weakMap shares values that are costly to make for as long as somebody holds them, and forgets them afterwards.
type weakMap[K comparable, V any] struct {
	mu     sync.Mutex // guards values
	values map[K]weak.Pointer[V]
}

// get returns the value for the key and makes it if there is none.
func (m *weakMap[K, V]) get(key K, construct func() (*V, error)) (*V, error) {
	m.mu.Lock()
	v := m.values[key].Value()
	m.mu.Unlock()
	if v != nil {
		return v, nil
	}
	made, err := construct()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.values[key].Value(); v != nil {
		return v, nil
	}
	if m.values == nil {
		m.values = make(map[K]weak.Pointer[V])
	}
	m.values[key] = weak.Make(made)
	runtime.AddCleanup(made, m.forget, key)
	return made, nil
}

// forget drops the key unless its value has been made anew.
func (m *weakMap[K, V]) forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values[key].Value() == nil {
		delete(m.values, key)
	}
}
