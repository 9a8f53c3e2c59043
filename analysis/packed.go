package analysis

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
)

// Packed64 and Packed32 are numbers that stand in a saved state as base64 of
// their bytes, least first: half to a fifth of what their digits take, exact,
// and NaN may be among them. Whoever loads them checks what they hold.
type (
	Packed64 []float64
	Packed32 []float32
)

func (p Packed64) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 8*len(p))
	for _, v := range p {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

func (p *Packed64) UnmarshalText(text []byte) error {
	raw, err := unpack(text, 8)
	if err != nil {
		return err
	}
	*p = make(Packed64, 0, len(raw)/8)
	for ; len(raw) > 0; raw = raw[8:] {
		*p = append(*p, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
	}
	return nil
}

func (p Packed32) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 4*len(p))
	for _, v := range p {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

func (p *Packed32) UnmarshalText(text []byte) error {
	raw, err := unpack(text, 4)
	if err != nil {
		return err
	}
	*p = make(Packed32, 0, len(raw)/4)
	for ; len(raw) > 0; raw = raw[4:] {
		*p = append(*p, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return nil
}

func unpack(text []byte, size int) ([]byte, error) {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err == nil && len(raw)%size != 0 {
		err = fmt.Errorf("%d bytes are no whole number of %d-byte numbers", len(raw), size)
	}
	if err != nil {
		return nil, fmt.Errorf("packed numbers: %w", err)
	}
	return raw, nil
}
