// Package store is the only room where SQL is spoken, beside the migrations:
// one file per table or per question.
//
// The life of a run in it:
//
//	Leader.Plan ──▶ schedule 'due' ──Claim──▶ 'claimed' ──Finish──▶ a row of data (ok, fail, missed)
//	                    │  ▲                     │  ╲
//	                    │  └──────HandBack───────┘   ╲ lease lost, COMMIT unanswered, database away
//	                    ▼                             ▼
//	              Leader.Expire ──▶ missed        Load: ok and fail replace missed, nothing else is replaced
//
// Every statement is safe to repeat: keys are (toolspec_id, due_at), and the
// first ok or fail of a key wins.
package store
