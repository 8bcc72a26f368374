use super::*;

const POLICY: &str = r#"
[relays]
addresses = ["192.0.2.25"]
limit = { connections = 60, window = "1m" }
[class.home]
smtp = { limit = { connections = 10, window = "10s" } }
excess = "reset"
[class.closed]
smtp = "block"
submission = { limit = { connections = 1, window = "1h" } }
[class.server]
smtp = "allow"
[class.tried]
smtp = "block"
mode = "observe"
[class.shared]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/26"
class = "home"
[[pool]]
prefix = "203.0.113.64/26"
class = "closed"
[[pool]]
prefix = "203.0.113.128/26"
class = "server"
[[pool]]
prefix = "203.0.113.192/26"
class = "tried"
[[pool]]
prefix = "100.64.0.0/10"
class = "shared"
"#;

fn facts(class: &str) -> Facts {
    let (policy, _) = Policy::from_toml("test", POLICY).expect("a good policy");
    let index = policy.classes().iter().position(|c| c.name == class);
    Facts::of(&policy, ClassId(u16::try_from(index.unwrap()).unwrap()))
}

fn text(class: &str, language: Language) -> String {
    Disclosure::new(&facts(class), language, None).render(Format::Text)
}

#[test]
fn each_class_comes_nearest_to_a_type_of_service_of_rfc_4084() {
    for (class, service) in [
        ("home", Service::Firewalled),
        ("closed", Service::ClientPublic),
        ("server", Service::Full),
        ("tried", Service::Full),
        ("shared", Service::ClientPrivate),
    ] {
        assert_eq!(facts(class).service, service, "{class}");
    }
}

#[test]
fn a_limit_is_told_with_its_numbers_in_every_language() {
    for (language, home, closed) in [
        (
            Language::English,
            "10 new connections in any period of 10 seconds",
            "1 new connection in any period of 1 hour",
        ),
        (
            Language::German,
            "10 neue Verbindungen in jedem Zeitraum von 10 Sekunden",
            "1 neue Verbindung in jedem Zeitraum von 1 Stunde",
        ),
        (
            Language::Spanish,
            "10 conexiones nuevas en cualquier periodo de 10 segundos",
            "1 conexión nueva en cualquier periodo de 1 hora",
        ),
        (
            Language::French,
            "10 nouvelles connexions sur toute période de 10 secondes",
            "1 nouvelle connexion sur toute période de 1 heure",
        ),
        (
            Language::Maori,
            "kia 10 ngā hononga hou i roto i ia 10 hēkona",
            "kia 1 te hononga hou i roto i ia 1 hāora",
        ),
    ] {
        assert!(
            text("home", language).contains(home),
            "{}",
            text("home", language)
        );
        assert!(
            text("closed", language).contains(closed),
            "{}",
            text("closed", language)
        );
    }
}

#[test]
fn what_is_told_is_what_the_policy_says() {
    let home = text("home", Language::English);
    assert!(home.contains("refused at once"));
    assert!(home.contains("60 new connections in any period of 1 minute"));
    assert!(home.contains("Open, without a limit."));
    let closed = text("closed", Language::English);
    assert!(closed.contains("Closed. Connections from your line to port 25"));
    assert!(closed.contains("Our own mail servers are the exception."));
    assert!(closed.contains("get no answer"));
    assert!(text("tried", Language::English).contains("only count"));
}

#[test]
fn nothing_is_left_to_fill_in() {
    for language in Language::ALL {
        for class in ["home", "closed", "server", "tried", "shared"] {
            let disclosure = Disclosure::new(&facts(class), language, Some("0800 123"));
            for format in [Format::Text, Format::Html, Format::Markdown] {
                let text = disclosure.render(format);
                assert!(!text.contains(['{', '}']), "{text}");
                assert!(text.contains("0800 123") && text.contains(class), "{text}");
            }
        }
    }
}

#[test]
fn names_cannot_write_html_or_markdown() {
    let mut facts = facts("home");
    facts.class = "<b>*x*</b>".to_owned();
    let disclosure = Disclosure::new(&facts, Language::English, Some("a & \"b\"\n# c"));
    let html = disclosure.render(Format::Html);
    assert!(html.contains("&lt;b&gt;*x*&lt;/b&gt;") && html.contains("a &amp; &quot;b&quot;"));
    let markdown = disclosure.render(Format::Markdown);
    assert!(markdown.contains(r"\<b\>\*x\*\</b\>") && markdown.contains(r#"a \& "b" \# c"#));
}
