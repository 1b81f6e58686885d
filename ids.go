package punctual

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"sync"
	"time"
)

// idSource makes run ids: 26 characters that sort by the time of creation, unique without coordination.
//
// An id is 128 bits in base32hex, whose alphabet sorts like its values: 56 bits of microseconds since 1970, a 24-bit sequence
// within them and 48 random bits that belong to this source. Within one source ids strictly increase even when the clock does
// not.
type idSource struct {
	mu     sync.Mutex
	micros uint64
	seq    uint32
	tail   [6]byte
}

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

func newIDSource() *idSource {
	s := &idSource{}
	randomBytes(s.tail[:])
	return s
}

func (s *idSource) next(now time.Time) string {
	s.mu.Lock()
	micros := uint64(max(now.UnixMicro(), 0))
	switch {
	case micros > s.micros:
		s.micros, s.seq = micros, 0
	case s.seq == 1<<24-1:
		s.micros, s.seq = s.micros+1, 0
	default:
		s.seq++
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s.micros<<8|uint64(s.seq>>16))
	binary.BigEndian.PutUint16(b[8:10], uint16(s.seq))
	s.mu.Unlock()
	copy(b[10:], s.tail[:])
	var text [26]byte
	idEncoding.Encode(text[:], b[:])
	return string(text[:])
}

// randomID returns 128 random bits, for sessions.
func randomID() string {
	var b [16]byte
	randomBytes(b[:])
	return idEncoding.EncodeToString(b[:])
}

// randomBytes fills b. crypto/rand.Read never returns an error since Go 1.24: it ends the program instead.
func randomBytes(b []byte) { _, _ = rand.Read(b) }
