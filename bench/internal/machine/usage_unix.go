//go:build unix

package machine

import (
	"syscall"
	"time"
)

// CPUTime is what this process has used so far, in user code and in the kernel.
func CPUTime() (time.Duration, error) { return usageOf(syscall.RUSAGE_SELF) }

// withChildren is what this process and its children that have ended have used.
func withChildren() (time.Duration, error) {
	own, err := CPUTime()
	if err != nil {
		return 0, err
	}
	children, err := usageOf(syscall.RUSAGE_CHILDREN)
	return own + children, err
}

func usageOf(who int) (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		return 0, err
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
