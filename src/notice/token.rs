//! What a form carries: proof that this server wrote it, for whom, about which case, and when.
//!
//! A token is a claim and its HMAC-SHA256 under a key that is made at start and never leaves the
//! process. It is good for one subscriber's one case as it stands: whatever happens to the case, the
//! release itself included, ends it, so a token can't be used twice. It is also tied to a cookie that
//! only this site's own pages send along (SameSite), so no other page can send a form in the
//! customer's name.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, rand};

/// How long a form may lie open.
pub(super) const LIFE: Duration = Duration::from_secs(30 * 60);
/// Octets of a nonce.
const NONCE: usize = 16;

/// The key of this start.
#[derive(Debug)]
pub(super) struct Seal {
    key: hmac::Key,
    random: rand::SystemRandom,
    /// The least time between page and answer.
    reading: Duration,
}

/// A form as it was written.
#[derive(Debug)]
pub(super) struct Form {
    /// For the hidden field.
    pub token: String,
    /// For the cookie.
    pub cookie: String,
    /// The answers' values in the order in which they are shown: shuffled, and good for this form
    /// only, so that a program can't know them beforehand.
    pub answers: [(Answer, String); 3],
}

/// What somebody may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Everything is clean.
    Cleaned,
    /// Not done yet.
    NotYet,
    /// Somebody should help.
    Help,
}

impl Answer {
    const ALL: [Self; 3] = [Self::Cleaned, Self::NotYet, Self::Help];
}

/// Why a form isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// It isn't this server's, not for this case, or its time is over.
    Stale,
    /// It came back sooner than a person reads.
    Early,
    /// No answer was chosen.
    Unanswered,
}

impl Seal {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(super) fn new(reading: Duration) -> anyhow::Result<Self> {
        let random = rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
        Ok(Self {
            key,
            random,
            reading,
        })
    }

    /// The least time between page and answer.
    pub(super) fn reading(&self) -> Duration {
        self.reading
    }

    /// Writes a form about a case, as `case` describes it. `now` is a time that only goes on.
    pub(super) fn write(&self, case: &str, now: Duration) -> anyhow::Result<Form> {
        let nonce: [u8; NONCE] = rand::generate(&self.random)
            .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?
            .expose();
        let cookie = URL_SAFE_NO_PAD.encode(nonce);
        let written = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let tag = self.tag(&cookie, written, case);
        let token = format!("{written}.{}", URL_SAFE_NO_PAD.encode(tag));
        let mut answers = Answer::ALL.map(|answer| (answer, self.value(&token, answer)));
        // As good as shuffled: the values are random and new for each form.
        answers.sort_by(|(_, one), (_, other)| one.cmp(other));
        Ok(Form {
            token,
            cookie,
            answers,
        })
    }

    /// What was answered with a form about a case that stands as `case` says.
    pub(super) fn read(
        &self,
        (token, cookie, value): (&str, &str, &str),
        case: &str,
        now: Duration,
    ) -> Result<Answer, Rejected> {
        let (written, tag) = token.split_once('.').ok_or(Rejected::Stale)?;
        let written: u64 = written.parse().map_err(|_| Rejected::Stale)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Rejected::Stale)?;
        let claim = claim(cookie, written, case);
        hmac::verify(&self.key, &claim, &tag).map_err(|_| Rejected::Stale)?;
        let written = Duration::from_millis(written);
        let age = now.checked_sub(written).ok_or(Rejected::Stale)?;
        if age > LIFE {
            return Err(Rejected::Stale);
        }
        if age < self.reading {
            return Err(Rejected::Early);
        }
        let answer = Answer::ALL
            .into_iter()
            .find(|answer| self.value(token, *answer) == value);
        answer.ok_or(Rejected::Unanswered)
    }

    fn tag(&self, cookie: &str, written: u64, case: &str) -> hmac::Tag {
        hmac::sign(&self.key, &claim(cookie, written, case))
    }

    fn value(&self, token: &str, answer: Answer) -> String {
        let tag = hmac::sign(&self.key, format!("answer\n{answer:?}\n{token}").as_bytes());
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..12])
    }
}

/// Neither a cookie that was checked nor a number has a line's end in it, so no two claims are alike.
fn claim(cookie: &str, written: u64, case: &str) -> Vec<u8> {
    let cookie = cookie.replace('\n', "");
    format!("form\n{written}\n{cookie}\n{case}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);
    const READING: Duration = Duration::from_secs(10);
    const CASE: &str = "203.0.113.66/32 1";

    fn form() -> (Seal, Form) {
        let seal = Seal::new(READING).expect("a key");
        let form = seal.write(CASE, START).expect("a form");
        (seal, form)
    }

    fn value(form: &Form, wanted: Answer) -> &str {
        let found = form.answers.iter().find(|(answer, _)| *answer == wanted);
        &found.expect("all three").1
    }

    #[test]
    fn an_answer_is_read_between_reading_and_the_end_of_life() {
        let (seal, form) = form();
        for wanted in Answer::ALL {
            let sent = (&*form.token, &*form.cookie, value(&form, wanted));
            for (after, expected) in [
                (Duration::ZERO, Err(Rejected::Early)),
                (READING - Duration::from_millis(1), Err(Rejected::Early)),
                (READING, Ok(wanted)),
                (LIFE, Ok(wanted)),
                (LIFE + Duration::from_millis(1), Err(Rejected::Stale)),
            ] {
                assert_eq!(seal.read(sent, CASE, START + after), expected, "{after:?}");
            }
        }
    }

    #[test]
    fn another_case_another_cookie_and_another_start_are_stale() {
        let (seal, form) = form();
        let now = START + READING;
        let value = value(&form, Answer::Cleaned);
        let sent = (&*form.token, &*form.cookie, value);
        assert_eq!(
            seal.read(sent, "203.0.113.66/32 2", now),
            Err(Rejected::Stale)
        );
        assert_eq!(
            seal.read((sent.0, "", value), CASE, now),
            Err(Rejected::Stale)
        );
        let (other, _) = self::form();
        assert_eq!(other.read(sent, CASE, now), Err(Rejected::Stale));
    }

    #[test]
    fn no_changed_octet_of_a_token_passes() {
        let (seal, form) = form();
        let now = START + READING;
        let value = value(&form, Answer::Cleaned);
        for at in 0..form.token.len() {
            let mut octets = form.token.clone().into_bytes();
            octets[at] = if octets[at] == b'1' { b'2' } else { b'1' };
            let token = String::from_utf8(octets).expect("ASCII");
            let read = seal.read((&token, &form.cookie, value), CASE, now);
            assert!(matches!(read, Err(Rejected::Stale)), "{at}: {read:?}");
        }
        for token in ["", ".", "1.", ".x", "1000000", "18446744073709551616.AA"] {
            let read = seal.read((token, &form.cookie, value), CASE, now);
            assert_eq!(read, Err(Rejected::Stale), "{token}");
        }
    }

    #[test]
    fn the_answers_of_another_form_are_none() {
        let (seal, form) = form();
        let other = seal.write(CASE, START).expect("a form");
        let sent = (&*form.token, &*form.cookie, value(&other, Answer::Cleaned));
        assert_eq!(
            seal.read(sent, CASE, START + READING),
            Err(Rejected::Unanswered)
        );
    }

    #[test]
    fn the_answers_come_in_any_order() {
        let (seal, _) = form();
        let first = |_| seal.write(CASE, START).expect("a form").answers[0].0;
        let firsts: Vec<Answer> = (0..200).map(first).collect();
        for answer in Answer::ALL {
            assert!(firsts.contains(&answer), "{answer:?} never came first");
        }
    }
}
