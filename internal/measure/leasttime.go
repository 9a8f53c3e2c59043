package measure

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// LeastTime evaluates the expression of a tool that says how long a run with
// these options takes at least: "(count - 1) * interval + timeout", durations in
// seconds, true as 1, an option without value as 0. It understands numbers,
// option names, + - * / ( ) and greatest(a, b, …), least(a, b, …), ceil(a),
// which mean the same to sonde_least_time in the database.
func LeastTime(expression string, known []Option, o Options) (time.Duration, error) {
	if expression == "" {
		return 0, nil
	}
	e := &arithmetic{tokens: tokens.FindAllString(expression, -1), values: map[string]float64{}}
	for _, k := range known {
		switch v := o[k.Name].(type) {
		case int64:
			e.values[k.Name] = float64(v)
		case float64:
			e.values[k.Name] = v
		case time.Duration:
			e.values[k.Name] = v.Seconds()
		case bool:
			e.values[k.Name] = 0
			if v {
				e.values[k.Name] = 1
			}
		default:
			e.values[k.Name] = 0
		}
	}
	secs, err := e.sum()
	if err == nil && e.next() != "" {
		err = fmt.Errorf("%q is not expected", e.next())
	}
	if err == nil && (math.IsNaN(secs) || math.IsInf(secs, 0)) {
		err = fmt.Errorf("the result is no number")
	}
	if err != nil {
		return 0, fmt.Errorf("least time %q: %w", expression, err)
	}
	return time.Duration(min(max(secs, 0), longest/1e6) * float64(time.Second)), nil
}

// tokens are numbers, names, and single characters for everything else.
var tokens = regexp.MustCompile(`\d+(?:\.\d+)?|[a-z_][a-z0-9_]*|[^\s]`)

type arithmetic struct {
	tokens []string
	values map[string]float64
	depth  int
}

func (e *arithmetic) next() string {
	if len(e.tokens) == 0 {
		return ""
	}
	return e.tokens[0]
}

func (e *arithmetic) take() string {
	t := e.next()
	if t != "" {
		e.tokens = e.tokens[1:]
	}
	return t
}

func (e *arithmetic) sum() (float64, error) {
	total, err := e.product()
	for err == nil && (e.next() == "+" || e.next() == "-") {
		op := e.take()
		var v float64
		if v, err = e.product(); op == "-" {
			v = -v
		}
		total += v
	}
	return total, err
}

func (e *arithmetic) product() (float64, error) {
	total, err := e.term()
	for err == nil && (e.next() == "*" || e.next() == "/") {
		op := e.take()
		var v float64
		if v, err = e.term(); op == "/" {
			if err == nil && v == 0 {
				return 0, fmt.Errorf("division by zero")
			}
			total /= v
		} else {
			total *= v
		}
	}
	return total, err
}

func (e *arithmetic) term() (float64, error) {
	if e.depth++; e.depth > 100 {
		return 0, fmt.Errorf("too deep")
	}
	defer func() { e.depth-- }()
	t := e.take()
	switch {
	case t == "":
		return 0, fmt.Errorf("it ends too early")
	case t == "-":
		v, err := e.term()
		return -v, err
	case t == "(":
		v, err := e.sum()
		if err == nil {
			err = e.expect(")")
		}
		return v, err
	case t[0] >= '0' && t[0] <= '9':
		return strconv.ParseFloat(t, 64)
	case e.next() == "(" && (t == "greatest" || t == "least" || t == "ceil"):
		return e.call(t)
	}
	v, ok := e.values[t]
	if !ok {
		return 0, fmt.Errorf("%q is no option", t)
	}
	return v, nil
}

func (e *arithmetic) call(name string) (float64, error) {
	e.take() // (
	v, err := e.sum()
	if name == "ceil" {
		v = math.Ceil(v)
	}
	for err == nil && name != "ceil" && e.next() == "," {
		e.take()
		var other float64
		if other, err = e.sum(); name == "greatest" {
			v = max(v, other)
		} else {
			v = min(v, other)
		}
	}
	if err == nil {
		err = e.expect(")")
	}
	return v, err
}

func (e *arithmetic) expect(want string) error {
	if got := e.take(); got != want {
		return fmt.Errorf("%q is missing before %q", want, got)
	}
	return nil
}
