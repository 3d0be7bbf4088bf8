// Package campaign sends one text to many people: it takes recipients in by the million,
// keeps them compactly in Redis, and makes jobs of them only as fast as they can be sent.
//
// # The usual path
//
//	store.Create(ctx, id, spec)            // a draft; the same again is the same campaign
//	store.Upload(ctx, id, reader, answer)  // recipients; each row gets its answer
//	store.Start(ctx, id)                   // now, or at its start time
//	store.Pause, store.Resume, store.Cancel; store.Get, store.List, store.Failures
//
// A [Feeder] in the processes of the workers makes the jobs.
//
// # Guarantees
//
//   - A row that was answered as accepted is in Redis. Sending the same rows again adds
//     none of them twice: within a campaign a recipient is one row, and the first counts.
//   - A row's job has an id that is made of the campaign's and the number of the row, so
//     that a row makes one job however often, and by however many processes, it is fed.
//   - A job is made, and a message is posted, only while the campaign runs: both scripts
//     look at its state. After a pause or a cancellation nothing is posted but what has
//     its intent written already.
//   - A feeder that dies between making jobs and noting how far it came makes them again,
//     which changes nothing.
//
// # Layout
//
// See keys.go. Recipients rest in compressed chunks of 512 rows: number and the values of
// the template's fields, some 25 bytes a row. How the jobs stand is counted by the scripts
// of the ledger as they change, so that looking at a campaign costs the same at ten rows
// and at a million.
package campaign
