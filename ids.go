package punctual

import (
	"crypto/rand"
	"encoding/base32"
	"sync"
	"time"
)

// idSource makes run ids: 26 characters that sort by the time of creation, unique without coordination.
//
// An id is 128 bits in base32hex, whose alphabet sorts like its values: 56 bits of microseconds since 1970, a 24-bit sequence
// within them and 48 random bits that belong to this source. Within one source ids strictly increase even when the clock does
// not.
//
// Ids of one microsecond are mostly asked for in a row, by a claim, and kept as long as each other, in a ledger. So they are made some at a time, as parts
// of one string, which is less to allocate and less for the garbage collector to look at.
type idSource struct {
	mu     sync.Mutex
	micros uint64
	seq    uint32
	tail   [idLength - 16]byte // the encoded random bits
	ahead  string              // the ids that follow in this microsecond
}

const (
	idLength = 26
	// idsAhead bounds how many ids share a string, and so how much memory one that is kept for long takes.
	idsAhead = 16
)

const idAlphabet = "0123456789abcdefghijklmnopqrstuv"

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

func newIDSource() *idSource {
	s := &idSource{}
	var random [6]byte
	randomBytes(random[:])
	idEncoding.Encode(s.tail[:], random[:])
	return s
}

func (s *idSource) next(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	micros := uint64(max(now.UnixMicro(), 0))
	switch {
	case micros > s.micros:
		s.micros, s.seq, s.ahead = micros, 0, ""
	case s.seq == 1<<24-1:
		s.micros, s.seq, s.ahead = s.micros+1, 0, ""
	default:
		s.seq++
	}
	if s.ahead == "" {
		s.make(min(s.seq+1, idsAhead, 1<<24-s.seq)) // the more, the more there were
	}
	id := s.ahead[:idLength]
	s.ahead = s.ahead[idLength:]
	return id
}

// make makes the next n ids.
func (s *idSource) make(n uint32) {
	var texts [idsAhead * idLength]byte
	first := texts[:idLength]
	encode40((*[8]byte)(first), s.micros>>16)
	copy(first[16:], s.tail[:])
	for i := range n {
		text := texts[i*idLength:][:idLength]
		copy(text, first)
		encode40((*[8]byte)(text[8:]), s.micros&0xffff<<24|uint64(s.seq+i))
	}
	s.ahead = string(texts[:n*idLength])
}

// encode40 writes 40 bits as idEncoding does, in a fraction of its time.
func encode40(text *[8]byte, bits uint64) {
	for i := range text {
		text[7-i] = idAlphabet[bits&31]
		bits >>= 5
	}
}

// randomID returns 128 random bits, for sessions.
func randomID() string {
	var b [16]byte
	randomBytes(b[:])
	return idEncoding.EncodeToString(b[:])
}

// randomBytes fills b. crypto/rand.Read never returns an error since Go 1.24: it ends the program instead.
func randomBytes(b []byte) { _, _ = rand.Read(b) }
