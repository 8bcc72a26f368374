//! `lychgate disclose`.

use crate::{says, with_policy};

#[test]
fn every_class_is_told_in_english_unless_asked_otherwise() {
    let done = with_policy(&["disclose", "-p", "isp.toml"]);
    says(&done, 0, &[]);
    for text in [
        "Mail filtering for the service “residential”",
        "“Firewalled Internet Connectivity”",
        "Limited to 10 new connections in any period of 10 seconds.",
        "Mail filtering for the service “mta”",
        "“Full Internet Connectivity”",
    ] {
        assert!(done.out.contains(text), "no {text:?} in:\n{}", done.out);
    }
}

#[test]
fn one_class_is_told_as_html_in_german_with_a_contact() {
    let done = with_policy(&[
        "disclose",
        "-p",
        "isp.toml",
        "--class",
        "residential",
        "--lang",
        "de",
        "--format",
        "html",
        "--contact",
        "Hotline <0800 123>",
    ]);
    says(&done, 0, &[]);
    assert!(
        done.out
            .starts_with("<section lang=\"de\">\n<h2>E-Mail-Filterung")
    );
    assert!(done.out.contains("<dd>Hotline &lt;0800 123&gt;</dd>"));
    assert!(!done.out.contains("mta"));
}

#[test]
fn markdown_has_a_heading_for_each_class() {
    let done = with_policy(&[
        "disclose", "-p", "isp.toml", "--format", "markdown", "--lang", "fr",
    ]);
    assert_eq!(done.out.matches("\n## ").count() + 1, 2, "{}", done.out);
}

#[test]
fn a_class_that_is_not_there_is_told_with_those_that_are() {
    let done = with_policy(&["disclose", "-p", "isp.toml", "--class", "home"]);
    says(
        &done,
        2,
        &["there is no class \"home\" in the policy; there are: residential, mta"],
    );
}

#[test]
fn a_language_that_is_not_there_is_told_with_those_that_are() {
    let done = with_policy(&["disclose", "-p", "isp.toml", "--lang", "tlh"]);
    says(&done, 2, &["invalid value 'tlh'", "en, de, es, fr, mi"]);
}
