package machine

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// What only Linux tells, in /proc. Elsewhere it is not known.

// cpuModel is the name of the first CPU; empty when not known.
func cpuModel() string { return procLine("/proc/cpuinfo", "model name") }

// AvailableMemory is how much memory new processes can get; zero when not known.
func AvailableMemory() int64 { return memoryLine("MemAvailable") }

// Niceness is how much this process gives way to others; less than zero when it has precedence.
func Niceness() int {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name of the program may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 17 {
		return 0
	}
	nice, _ := strconv.Atoi(fields[16])
	return nice
}

func memoryLine(key string) int64 {
	kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(procLine("/proc/meminfo", key), " kB"), 10, 64)
	return kilobytes * 1024
}

// procLine returns what stands behind the colon in the first line with this key.
func procLine(name, key string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if k, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// WatchOthers returns a function that tells how many cores processes other than this one and its children have used on average since; less
// than zero when that is not known.
func WatchOthers() func() float64 {
	began := time.Now()
	all, known := busyTime()
	own, err := withChildren()
	return func() float64 {
		allNow, stillKnown := busyTime()
		ownNow, errNow := withChildren()
		if !known || !stillKnown || err != nil || errNow != nil {
			return -1
		}
		return max(0, ((allNow-all)-(ownNow-own)).Seconds()/time.Since(began).Seconds())
	}
}

// tick is the unit of times in /proc/stat.
const tick = 10 * time.Millisecond

// busyTime is how long all CPUs together have been busy.
func busyTime() (time.Duration, bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, false
	}
	var ticks int64
	for i, field := range fields[1:9] { // user, nice, system, idle, iowait, irq, softirq, steal
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, false
		}
		if i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * tick, true
}
