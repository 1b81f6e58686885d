//go:build !unix

package machine

import (
	"errors"
	"time"
)

var errNoUsage = errors.New("the time that a process has used is read with getrusage, which this system does not have")

func CPUTime() (time.Duration, error) { return 0, errNoUsage }

func withChildren() (time.Duration, error) { return 0, errNoUsage }
