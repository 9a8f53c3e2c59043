package rib

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// Tables is what files brought.
type Tables struct {
	Prefixes Table
	Names    map[uint32]Name // by AS number
}

// Name is what an AS is called, and the two letters of its country or "".
type Name struct{ Name, Country string }

// Read adds a file to the tables and says what its form was.
func (t *Tables) Read(r io.Reader) (form string, err error) {
	b, packed, err := unpack(bufio.NewReaderSize(r, 1<<16))
	if err != nil {
		return "", err
	}
	start, err := b.Peek(12)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", damaged(packed, err)
	}
	if len(start) == 0 {
		return "", errors.New("it is empty")
	}
	if looksLikeMRT(start) {
		form = "MRT"
		err = t.readMRT(b)
	} else {
		form, err = t.readText(b)
	}
	if err != nil {
		return form, damaged(packed, err)
	}
	return form, nil
}

// unpack looks into gzip and bzip2.
func unpack(b *bufio.Reader) (_ *bufio.Reader, packed string, err error) {
	start, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, "", fmt.Errorf("it begins like gzip and is none: %w", err)
		}
		return bufio.NewReaderSize(z, 1<<16), "gzip", nil
	case bytes.HasPrefix(start, []byte("BZh")):
		return bufio.NewReaderSize(bzip2.NewReader(b), 1<<16), "bzip2", nil
	case bytes.HasPrefix(start, []byte{0xfd, '7', 'z', 'X', 'Z', 0}), bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}), bytes.HasPrefix(start, []byte("PK\x03\x04")):
		return nil, "", errors.New("it is packed by xz, zstd or zip: unpack it, and give what comes out")
	}
	return b, "", nil
}

// damaged says that it may be the packing.
func damaged(packed string, err error) error {
	var structural bzip2.StructuralError
	if errors.As(err, &structural) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || packed != "" && errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the %s file is damaged, or was not fetched whole: %w", packed, err)
	}
	return err
}
