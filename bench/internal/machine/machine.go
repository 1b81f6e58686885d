// Package machine tells what a program of this module runs on, and what of it processes use.
package machine

import (
	"runtime"
	"time"
)

// Machine is what figures were taken on.
type Machine struct {
	CPU    string // its model, where that is known
	CPUs   int
	Memory int64 // bytes; zero when not known
	OS     string
	Go     string
}

// This is the machine of this process.
func This() Machine {
	return Machine{
		CPU: cpuModel(), CPUs: runtime.NumCPU(), Memory: memoryLine("MemTotal"), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
}

// HeapBytes is what lives on the heap and on stacks after a collection.
func HeapBytes() int64 {
	runtime.GC()
	runtime.GC() // what the first one only marked as free, and what finalizers kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// CPUOver is how many cores this process uses while wait waits.
func CPUOver(wait func()) (float64, error) {
	began := time.Now()
	before, err := CPUTime()
	if err != nil {
		return 0, err
	}
	wait()
	after, err := CPUTime()
	took := time.Since(began)
	return (after - before).Seconds() / took.Seconds(), err
}
