package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrUnknownProcess says that a process is not on this machine, or that this system does not tell of it.
var ErrUnknownProcess = errors.New("the process is not known here")

// Family is a process and its children.
type Family struct{ root int }

// FamilyOfChild is the family that a process belongs to, whose name it has to bear. A server on another machine may tell a process id that
// is somebody else's here.
func FamilyOfChild(pid int, name string) (Family, error) {
	p, err := readProcess(pid)
	if err != nil || p.name != name {
		return Family{}, ErrUnknownProcess
	}
	return Family{p.parent}, nil
}

// FamilyNamed is the family of the one process that bears one of the names.
func FamilyNamed(names ...string) (Family, error) {
	var found []int
	for _, p := range processes() {
		if slices.Contains(names, p.name) {
			found = append(found, p.pid)
		}
	}
	if len(found) != 1 {
		return Family{}, ErrUnknownProcess
	}
	return Family{found[0]}, nil
}

// CPUTime is what the family has used so far, with children that have ended.
func (f Family) CPUTime() (time.Duration, error) {
	root, err := readProcess(f.root)
	if err != nil {
		return 0, err
	}
	all := root.used + root.ended
	for _, p := range processes() {
		if p.parent == f.root {
			all += p.used + p.ended
		}
	}
	return all, nil
}

// process is what /proc tells of one.
type process struct {
	pid, parent int
	name        string
	used, ended time.Duration // by itself, and by children that have ended
}

func processes() (all []process) {
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil { // it may have ended meanwhile
			all = append(all, p)
		}
	}
	return all
}

func readProcess(pid int) (process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, ErrUnknownProcess
	}
	p := process{pid: pid}
	head, rest, _ := strings.Cut(string(text), ") ") // the name of the program may have spaces
	_, p.name, _ = strings.Cut(head, "(")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return process{}, ErrUnknownProcess
	}
	var numbers [15]int64
	for i, field := range fields[:15] {
		numbers[i], _ = strconv.ParseInt(field, 10, 64) // the first is a letter
	}
	p.parent = int(numbers[1])
	p.used = time.Duration(numbers[11]+numbers[12]) * tick
	p.ended = time.Duration(numbers[13]+numbers[14]) * tick
	return p, nil
}
