//! Lychgate stops spam zombies at the edge of an ISP's network.
//!
//! The library holds what the `lychgate` program is made of; dependencies point one way, from the
//! end of this list to its beginning:
//!
//! | module | question it answers |
//! |---|---|
//! | [`wire`] | what is in this frame, as far as mail is concerned? |
//! | [`policy`] | what does the provider want for this address? |
//! | [`events`] | who is told of what happens? |
//! | [`complaint`] | what does an abuse report say, and how do we write one? |
//! | [`import`] | which pools and subscribers does another program's list hold? |
//! | [`disclosure`] | what do customers have to know about it? |
//! | [`spf`] | which mail servers does the provider vouch for, and does the DNS say so? |
//! | [`source`] | may this subscriber open one more connection now? |
//! | [`detect`] | is this subscriber a zombie? |
//! | [`engine`] | so what happens to this frame? |
//! | [`remedy`] | what becomes of a subscriber who was found out? |
//! | [`store`] | what survives when the program doesn't? |
//! | [`io`] | where do frames come from, where do they go? |
//! | [`worker`] | how does one thread carry frames from port to port, judged? |
//! | [`control`] | who starts, watches and stops the workers? |
//! | [`notice`] | what does a quarantined customer read? |
//! | [`synth`] | what would such a network's traffic look like? |
//! | [`load`] | what does a box make of frames, and how fast? |
//! | [`replay`] | what would have happened to this capture? |
//! | [`report`] | how is that shown to people and programs? |
//! | [`cli`] | what does the user ask for? |
//!
//! `wire`, `policy` and `source` import nothing of ours, `detect` only the memory of `source`; `io` never imports `engine` or `policy`.

pub mod cli;
pub mod complaint;
pub mod control;
pub mod detect;
pub mod disclosure;
pub mod engine;
pub mod events;
pub mod import;
pub mod io;
pub mod load;
#[cfg(unix)]
pub mod notice;
pub mod policy;
pub mod remedy;
pub mod replay;
pub mod report;
pub mod source;
pub mod spf;
pub mod store;
pub mod synth;
pub mod wire;
pub mod worker;
