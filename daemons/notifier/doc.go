// Package notifier brings notices to people. A notice is a row; each attempt to
// deliver it is a row too, committed before the medium is called.
//
//	notices ──plan──▶ deliveries 'trying' ──medium──▶ ok │ failed │ unknown
//	   ▲                    │ notifier killed                 │
//	   │                    └─ lease over ─▶ the next asks ───┤
//	   └──────────── climb on, again after a pause ◀──────────┘
//
// Policies choose the recipients. Each climbs their own ladder: the first
// visible medium that proves it sent ends the climb; invisible ones are sent to
// besides. Where a medium cannot tell whether a message went, one more is made:
// waking twice beats not waking, waking thrice does not. When every step fails
// the climb begins again after a pause. What is not told after an hour goes,
// with all else that is as old, into one digest.
//
// An alert that hides others is also told to whom the policies choose for those
// only: one message each, in words of what is hidden, and the end of it.
//
// Several notifiers may run at once. Each plans from one snapshot of the
// database, and every step of the plan is a statement that only one of them can
// win: a unique key (notice, recipient, step), a number of tries, a lease. What
// is in the hands of a medium belongs to the owner of the lease, who renews it;
// when the lease runs out, another takes over and asks the medium by the
// delivery's name before it does anything.
//
// A medium that fails is an alert itself, told through the other mediums only;
// there is one while it lasts, so nothing chases its own tail. A daily message
// says that all is well, or what is not.
//
// The notifier does not decide what is worth a message: the analyst does. That
// nothing is judged at all, for a quarter of an hour, it says itself.
package notifier
