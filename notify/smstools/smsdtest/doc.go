// Package smsdtest gives tests a real smsd (package smstools) with a GSM modem
// that is emulated on a pseudo terminal, in PDU mode. The modem records the
// messages it was given, decoded, and has the faults modems have: it does not
// answer, it refuses with a +CMS ERROR, it takes a message and forgets to say so.
package smsdtest
