package rib

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Types and subtypes of MRT records, RFC 6396 sections 4 and 5, RFC 8050 section 4.
const (
	mrtTableDump   = 12
	mrtTableDumpV2 = 13
	mrtBGP4MP      = 16
	mrtBGP4MPET    = 17

	peerIndexTable   = 1
	ribIPv4          = 2
	ribIPv6          = 4
	ribIPv4AddPath   = 8
	ribIPv6AddPath   = 10
	tableDumpAFIIPv4 = 1
	tableDumpAFIIPv6 = 2

	// mostRecord is more than a prefix with thousands of peers takes.
	mostRecord = 16 << 20

	asTrans = 23456 // RFC 6793: an AS number that did not fit
)

var (
	errCutShort  = errors.New("a record is cut short: the file is damaged, or was not fetched whole")
	errAttribute = errors.New("an attribute of a route is longer than the record")
)

// looksLikeMRT reads the head of a first record.
func looksLikeMRT(head []byte) bool {
	if len(head) < 12 {
		return false
	}
	kind, sub, length := binary.BigEndian.Uint16(head[4:]), binary.BigEndian.Uint16(head[6:]), binary.BigEndian.Uint32(head[8:])
	return (kind == mrtTableDump || kind == mrtTableDumpV2 || kind == mrtBGP4MP || kind == mrtBGP4MPET) && sub <= 12 && length <= mostRecord
}

// mrt reads records one after the other.
type mrt struct {
	tables *Tables
	peers  []uint32 // their AS, by index
	routes int
	body   []byte
}

func (t *Tables) readMRT(r *bufio.Reader) error {
	m := mrt{tables: t}
	var head [12]byte
	updates := false
	for offset := int64(0); ; {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) && offset > 0 {
				break
			}
			return fmt.Errorf("offset %d: %w", offset, cutShort(err))
		}
		kind, sub, length := binary.BigEndian.Uint16(head[4:]), binary.BigEndian.Uint16(head[6:]), binary.BigEndian.Uint32(head[8:])
		if length > mostRecord {
			return fmt.Errorf("offset %d: a record of %d bytes is too long: the file is damaged, or no MRT", offset, length)
		}
		if uint32(cap(m.body)) < length {
			m.body = make([]byte, length)
		}
		m.body = m.body[:length]
		if _, err := io.ReadFull(r, m.body); err != nil {
			return fmt.Errorf("offset %d: %w", offset, cutShort(err))
		}
		var err error
		switch kind {
		case mrtTableDumpV2:
			err = m.tableDumpV2(sub, fields{m.body})
		case mrtTableDump:
			err = m.tableDump(sub, fields{m.body})
		case mrtBGP4MP, mrtBGP4MPET:
			updates = true
		}
		if err != nil {
			return fmt.Errorf("offset %d: %w", offset, err)
		}
		offset += int64(len(head)) + int64(length)
	}
	if m.routes == 0 && updates {
		return errors.New("these are updates of BGP: give a dump of a whole table, such as bview… of RIPE RIS or rib… of RouteViews")
	}
	if m.routes == 0 {
		return errors.New("it is MRT without a route to any unicast prefix")
	}
	return nil
}

// cutShort keeps what the unpacking says, and names an end that comes too early.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w (%w)", errCutShort, io.ErrUnexpectedEOF)
	}
	return err
}

func (m *mrt) tableDumpV2(sub uint16, f fields) error {
	switch sub {
	case peerIndexTable:
		return m.peerIndex(f)
	case ribIPv4, ribIPv4AddPath:
		return m.rib(f, 4, sub == ribIPv4AddPath)
	case ribIPv6, ribIPv6AddPath:
		return m.rib(f, 16, sub == ribIPv6AddPath)
	}
	return nil // multicast and other families
}

// peerIndex reads PEER_INDEX_TABLE, RFC 6396 section 4.3.1.
func (m *mrt) peerIndex(f fields) error {
	f.take(4) // the collector's id
	f.take(int(f.u16()))
	m.peers = m.peers[:0]
	for n := f.u16(); n > 0 && f.ok(); n-- {
		kind := f.u8()
		f.take(4)
		if kind&1 != 0 {
			f.take(16)
		} else {
			f.take(4)
		}
		if kind&2 != 0 {
			m.peers = append(m.peers, f.u32())
		} else {
			m.peers = append(m.peers, uint32(f.u16()))
		}
	}
	return f.err()
}

// rib reads RIB_IPV4_UNICAST and its kin, RFC 6396 section 4.3.2, RFC 8050 section 4.1.
func (m *mrt) rib(f fields, size int, addPath bool) error {
	f.take(4) // sequence number
	prefix, err := f.prefix(size)
	if err != nil {
		return err
	}
	lastPeer, lastOrigin := -1, uint32(0)
	for n := f.u16(); n > 0 && f.ok(); n-- {
		peer := int(f.u16())
		f.take(4) // when it was originated
		if addPath {
			f.take(4)
		}
		attributes := f.take(int(f.u16()))
		if !f.ok() {
			break
		}
		if peer >= len(m.peers) {
			return fmt.Errorf("peer %d of %s is not in the table of %d peers", peer, prefix, len(m.peers))
		}
		origin, err := originOf(attributes, 4, m.peers[peer])
		if err != nil {
			return fmt.Errorf("%s: %w", prefix, err)
		}
		m.routes++
		// A peer that gives several paths (ADD-PATH) has one vote for where they end.
		if peer == lastPeer && origin == lastOrigin {
			continue
		}
		lastPeer, lastOrigin = peer, origin
		m.tables.Prefixes.Add(prefix, origin, 1)
	}
	return f.err()
}

// tableDump reads TABLE_DUMP, RFC 6396 section 4.2: one route, AS numbers of two bytes.
func (m *mrt) tableDump(sub uint16, f fields) error {
	size := 4
	switch sub {
	case tableDumpAFIIPv4:
	case tableDumpAFIIPv6:
		size = 16
	default:
		return nil
	}
	f.take(4) // view, sequence number
	addr, bits := f.take(size), int(f.u8())
	f.take(5 + size) // status, time, the peer's address
	peer := uint32(f.u16())
	attributes := f.take(int(f.u16()))
	if err := f.err(); err != nil {
		return err
	}
	if bits > 8*size {
		return fmt.Errorf("a prefix of %d bits", bits)
	}
	a, _ := netip.AddrFromSlice(addr) // of 4 or 16 bytes
	origin, err := originOf(attributes, 2, peer)
	if err != nil {
		return fmt.Errorf("%s/%d: %w", a, bits, err)
	}
	m.routes++
	m.tables.Prefixes.Add(netip.PrefixFrom(a, bits).Masked(), origin, 1)
	return nil
}

// Attributes of a route and segments of its path, RFC 4271 section 4.3, RFC 5065, RFC 6793.
const (
	attributeASPath  = 2
	attributeAS4Path = 17
	extendedLength   = 0x10
	asSequence       = 2
)

// originOf gives the AS where the path of a route ends; without any path it is
// the peer's own. 0 when that cannot be told.
func originOf(attributes []byte, asSize int, peer uint32) (uint32, error) {
	f := fields{attributes}
	origin, origin4 := peer, uint32(0)
	for len(f.rest) > 0 {
		flags, kind := f.u8(), f.u8()
		var length int
		if flags&extendedLength != 0 {
			length = int(f.u16())
		} else {
			length = int(f.u8())
		}
		value := f.take(length)
		if !f.ok() {
			return 0, errAttribute
		}
		var err error
		switch kind {
		case attributeASPath:
			origin, err = lastOf(value, asSize, peer)
		case attributeAS4Path:
			origin4, err = lastOf(value, 4, 0)
		}
		if err != nil {
			return 0, err
		}
	}
	if origin == asTrans && origin4 != 0 {
		return origin4, nil
	}
	return origin, nil
}

// lastOf gives the last AS of the sequences of a path. Sets and confederations do not count.
func lastOf(path []byte, asSize int, origin uint32) (uint32, error) {
	f := fields{path}
	for len(f.rest) > 0 {
		kind, count := f.u8(), int(f.u8())
		segment := f.take(count * asSize)
		if !f.ok() {
			return 0, errAttribute
		}
		if kind != asSequence || count == 0 {
			continue
		}
		last := segment[(count-1)*asSize:]
		if asSize == 2 {
			origin = uint32(binary.BigEndian.Uint16(last))
		} else {
			origin = binary.BigEndian.Uint32(last)
		}
	}
	return origin, nil
}

// fields takes bytes apart. After the end all that comes is zero and ok is false.
type fields struct{ rest []byte }

// over marks the end; no real rest is nil.
func (f *fields) ok() bool { return f.rest != nil }

func (f *fields) err() error {
	if !f.ok() {
		return errors.New("a record is shorter than what it says is in it")
	}
	return nil
}

func (f *fields) take(n int) []byte {
	if f.rest == nil || n > len(f.rest) {
		f.rest = nil
		return nil
	}
	out := f.rest[:n]
	f.rest = f.rest[n:]
	return out
}

func (f *fields) u8() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) u16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *fields) u32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// prefix reads a length in bits and as many bytes as it takes.
func (f *fields) prefix(size int) (netip.Prefix, error) {
	bits := int(f.u8())
	if bits > 8*size {
		return netip.Prefix{}, fmt.Errorf("a prefix of %d bits", bits)
	}
	var b [16]byte
	copy(b[:], f.take((bits+7)/8))
	a := netip.AddrFrom16(b)
	if size == 4 {
		a = netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.PrefixFrom(a, bits).Masked(), f.err()
}
