// Package usual is what several methods share: the values a series had at this
// hour on the days before, and how an episode begins, grows and ends.
//
// Many series go up and down with the day. A method that compares the last
// hour with the last week would find every evening. So values are kept by the
// hour of the day (UTC), and now is compared with this hour and the one before
// it, of the last few days. A change that lasts becomes usual when most of
// those days have it.
//
// A value is kept at most every five minutes, so that a series that is measured
// every second remembers days and not minutes.
package usual
