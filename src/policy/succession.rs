//! One policy after another, in a box that goes on running.

use super::{CLASSES_MAX, Class, ClassId, Entry, Policy};

/// A key of the policy that a running box cannot change, and its value.
pub type Fixed = (&'static str, &'static str, String);

impl Policy {
    /// What a running box has taken up for good: table, key, and the value as people read it.
    #[must_use]
    pub fn fixed(&self) -> Vec<Fixed> {
        let path = |path: &std::path::Path| format!("{path:?}");
        let none = || "none".to_owned();
        let mut fixed = Vec::new();
        let mut tell = |table, key, value| fixed.push((table, key, value));
        let ports = self.ports.as_ref();
        let port = |name: Option<&String>| name.map_or_else(none, |name| format!("{name:?}"));
        tell("[ports]", "access", port(ports.map(|ports| &ports.access)));
        tell("[ports]", "uplink", port(ports.map(|ports| &ports.uplink)));
        for (key, value) in self.run.rows() {
            tell("[ports]", key, value);
        }
        tell("[sources]", "capacity", self.capacity.to_string());
        tell("[sources]", "observed", self.observed.to_string());
        let keeping = self.keeping.as_ref();
        let kept = keeping.map_or_else(none, |keeping| path(&keeping.path));
        tell("[store]", "path", kept);
        let keep = keeping.map_or_else(none, |keeping| {
            format!("\"{}h\"", keeping.keep.as_secs() / 3_600)
        });
        tell("[store]", "keep", keep);
        let socket = keeping.map_or_else(none, |keeping| path(&keeping.socket));
        tell("[store]", "socket", socket);
        let outlets = self.outlets.clone().unwrap_or_default();
        let json = outlets.json.as_deref().map_or_else(none, path);
        tell("[events]", "json", json);
        let syslog = outlets.syslog.as_ref();
        let syslog = syslog.map_or_else(none, |at| format!("\"{at}\""));
        tell("[events]", "syslog", syslog);
        tell("[events]", "webhook", port(outlets.webhook.as_ref()));
        let complaints = self.complaints.as_ref();
        let maildir = complaints.map_or_else(none, |complaints| path(&complaints.maildir));
        tell("[complaints]", "maildir", maildir);
        let notice = self.notice.as_ref();
        tell("[notice]", "url", port(notice.map(|notice| &notice.url)));
        fixed
    }

    /// The same policy, its classes numbered so that those of the same name have the numbers that
    /// they have in `earlier`, and new ones come behind. What was counted by class stays its own.
    /// A class that is no longer there keeps its number, and has no subscriber.
    ///
    /// # Errors
    ///
    /// With all that ever were, there are more classes than can be counted; how many.
    pub fn numbered_after(mut self, earlier: &Self) -> Result<Self, usize> {
        let mut classes: Vec<Class> = earlier.classes.iter().map(retired).collect();
        self.retired = (0..classes.len() as u16).map(ClassId).collect();
        let mut numbers = Vec::with_capacity(self.classes.len());
        for class in self.classes {
            let number = classes.iter().position(|known| known.name == class.name);
            let number = number.unwrap_or(classes.len());
            numbers.push(ClassId(number as u16));
            self.retired.remove(&ClassId(number as u16));
            if number < classes.len() {
                classes[number] = class;
            } else {
                classes.push(class);
            }
        }
        if classes.len() > CLASSES_MAX {
            return Err(classes.len());
        }
        self.classes = classes;
        let number = |class: &mut ClassId| *class = numbers[usize::from(class.0)];
        for entry in &mut self.entries {
            if let Entry::Subscriber { class, .. } = entry {
                number(class);
            }
        }
        self.pools
            .iter_mut()
            .for_each(|pool| number(&mut pool.class));
        Ok(self)
    }

    /// Whether the policy has this class only because one before it had.
    #[must_use]
    pub fn is_retired(&self, class: ClassId) -> bool {
        self.retired.contains(&class)
    }
}

/// What is left of a class that is gone, until one of the same name takes its place.
fn retired(class: &Class) -> Class {
    Class {
        detect: None,
        ..class.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        let made = Policy::from_toml("test.toml", text);
        made.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
            .0
    }

    fn class_of<'a>(policy: &'a Policy, address: &str) -> (u16, &'a str) {
        let address = address.parse().expect("an address");
        let member = policy.member(address).expect("a subscriber's address");
        (member.class.0, &policy.class(member.class).name)
    }

    const FIRST: &str = r#"
[class.home]
smtp = "block"
[class.business]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/25"
class = "home"
[[pool]]
prefix = "203.0.113.128/25"
class = "business"
"#;

    const SECOND: &str = r#"
[class.hosting]
smtp = "allow"
[class.business]
smtp = "block"
[[pool]]
prefix = "203.0.113.0/25"
class = "business"
[[pool]]
prefix = "203.0.113.128/25"
class = "hosting"
"#;

    #[test]
    fn a_class_keeps_its_number_whatever_the_file_says_before_it() {
        let first = policy(FIRST);
        assert_eq!(class_of(&first, "203.0.113.1"), (0, "home"));
        let second = policy(SECOND).numbered_after(&first).expect("few classes");
        assert_eq!(class_of(&second, "203.0.113.1"), (1, "business"));
        assert_eq!(class_of(&second, "203.0.113.200"), (2, "hosting"));
        assert_eq!(second.class(ClassId(0)).name, "home");
        assert_eq!(second.class(ClassId(1)).smtp, super::super::Rule::Block);
        let again = policy(FIRST).numbered_after(&second).expect("few classes");
        assert_eq!(class_of(&again, "203.0.113.1"), (0, "home"));
        assert_eq!(class_of(&again, "203.0.113.200"), (1, "business"));
        assert_eq!(again.classes().len(), 3);
        let retired = |policy: &Policy| [0, 1, 2].map(|class| policy.is_retired(ClassId(class)));
        assert_eq!(retired(&second), [true, false, false]);
        assert_eq!(retired(&again), [false, false, true]);
        assert_eq!(again.pools()[1].class, ClassId(1));
    }

    #[test]
    fn classes_that_come_and_go_are_told_when_their_numbers_run_out() {
        let mut running = policy(FIRST);
        let mut refused = None;
        for round in 0..CLASSES_MAX {
            let text = FIRST.replace("business", &format!("business{round}"));
            match policy(&text).numbered_after(&running) {
                Ok(next) => running = next,
                Err(count) => {
                    refused = Some(count);
                    break;
                }
            }
        }
        assert_eq!(refused, Some(CLASSES_MAX + 1));
    }

    #[test]
    fn what_is_fixed_names_each_key_and_how_it_differs() {
        let first = policy(FIRST);
        let text =
            format!("{FIRST}[sources]\ncapacity = 4096\nobserved = 2048\n[ports]\nring = 64\n");
        let second = policy(&text);
        let differ: Vec<_> = first
            .fixed()
            .into_iter()
            .zip(second.fixed())
            .filter(|(a, b)| a != b)
            .map(|(_, b)| (b.0, b.1, b.2))
            .collect();
        assert_eq!(
            differ,
            [
                ("[ports]", "ring", "64".to_owned()),
                ("[sources]", "capacity", "4096".to_owned()),
                ("[sources]", "observed", "2048".to_owned()),
            ]
        );
    }
}
