// Package bench compares whole paths with the plain way of doing the same, and
// checks what needs libraries of others: peers that the program itself must not
// depend on live in this module.
package bench
