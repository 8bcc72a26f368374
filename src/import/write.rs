//! A plan as a policy file, and as a subscriber list.

use std::fmt::Write;

use super::Plan;

/// Said at the top of a policy that was made.
const PREAMBLE: &str = "\
# Made by lychgate import. It only observes until you have looked at it: give each class the rule
# that it should have, then remove the next line.
mode = \"observe\"
";
/// The rule of classes whose own nobody knows. It refuses nothing while the policy observes.
const RULE: &str = "smtp = { limit = { connections = 10, window = \"10s\" } }";

impl Plan {
    /// A whole policy, which only observes.
    #[must_use]
    pub fn toml(&self) -> String {
        let mut out = PREAMBLE.to_owned();
        // Writing to a string can't fail.
        let _ = self.write_toml(&mut out);
        out
    }

    fn write_toml(&self, out: &mut String) -> std::fmt::Result {
        for class in &self.classes {
            writeln!(out, "\n[class.{}]\n{RULE}", quoted(class))?;
        }
        for pool in &self.pools {
            writeln!(out, "\n[[pool]]\nprefix = \"{}\"", pool.prefix)?;
            if pool.subscriber_prefix != if pool.prefix.addr().is_ipv4() { 32 } else { 64 } {
                writeln!(out, "subscriber_prefix = {}", pool.subscriber_prefix)?;
            }
            writeln!(out, "class = {}", quoted(&pool.class))?;
        }
        for subscriber in &self.subscribers {
            writeln!(out, "\n[[subscriber]]")?;
            if let Some(name) = &subscriber.name {
                writeln!(out, "name = {}", quoted(name))?;
            }
            let prefixes: Vec<_> = subscriber
                .prefixes
                .iter()
                .map(|prefix| format!("\"{prefix}\""))
                .collect();
            writeln!(out, "prefixes = [{}]", prefixes.join(", "))?;
            writeln!(out, "class = {}", quoted(&subscriber.class))?;
        }
        Ok(())
    }

    /// The subscribers as a list for `[lists]`. Pools have no place in it.
    ///
    /// # Errors
    ///
    /// None that writing to memory can have.
    pub fn csv(&self) -> csv::Result<Vec<u8>> {
        let mut rows = csv::Writer::from_writer(Vec::new());
        rows.write_record(crate::policy::COLUMNS)?;
        for subscriber in &self.subscribers {
            let name = subscriber.name.as_deref().unwrap_or_default();
            for prefix in &subscriber.prefixes {
                rows.write_record([&prefix.to_string(), &subscriber.class, name])?;
            }
        }
        rows.into_inner().map_err(|error| error.into_error().into())
    }
}

/// A string as TOML has it. Names carry no control characters, so JSON's escapes are TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
