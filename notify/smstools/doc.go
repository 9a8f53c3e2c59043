// Package smstools sends SMS through the spool directories of the SMS Server
// Tools (smsd), which drives a GSM modem: a way to people that does not depend
// on the network being watched.
//
//	        rename          smsd          smsd, modem's reference
//	.NAME ─────────▶ outgoing ──▶ checked ──────────────────────▶ sent
//	                     │           │  └─────── gave up ───────▶ failed
//	                     └ withdrawn ┘ on time-out
//
// The file carries the name of the delivery, so that a notifier that was killed
// finds its own file wherever smsd has brought it, and waits for it instead of
// writing a second. What smsd has not sent within the time-out is withdrawn, so
// that a dead smsd does not flood everybody when it comes back.
//
// smsd locks a file it works on by NAME.LOCK beside it (in checked: while it
// sends; where it moves a file to: while it copies). To withdraw a file we take
// that same lock, so smsd and we never work on one file together. If smsd holds
// it, the message may be on the air: we wait a little longer, and then say that
// it is not known. A lock whose process is gone is broken: what it held may have
// gone out, but must not go out again at the next start of smsd.
//
// smsd must keep its defaults "keep_filename = yes" and have the folders sent
// and failed set; otherwise its proof cannot be found, and each message ends as
// unknown. filename_preview, which lengthens the names, is understood.
//
// The package does not start smsd, nor read status reports: "sent" means that
// the network took the message, not that the phone showed it.
package smstools
