//! Which language a visitor reads: the one chosen from the menu, else the browser's wish.

/// The index of the language to show, of those that are offered. The first of them is for visitors
/// who ask for none.
pub(super) fn choose(offered: &[&str], chosen: Option<&str>, accepted: Option<&str>) -> usize {
    let chosen = chosen.and_then(|chosen| {
        let same = |tag: &&str| tag.eq_ignore_ascii_case(chosen);
        offered.iter().position(same)
    });
    chosen
        .or_else(|| accepted.and_then(|accepted| negotiate(offered, accepted)))
        .unwrap_or(0)
}

/// Accept-Language (RFC 9110 §12.5.4): the offered language with the highest weight, and of equal
/// ones the first that the browser names. `de-AT` takes `de` where there is no `de-AT`, and `pt`
/// takes `pt-BR`.
fn negotiate(offered: &[&str], accepted: &str) -> Option<usize> {
    let mut best: Option<(u16, usize)> = None;
    for range in accepted.split(',').take(32) {
        let mut parts = range.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight = weight.map_or(1_000, thousandths);
        let Some(found) = matching(offered, tag).filter(|_| weight > 0) else {
            continue;
        };
        if best.is_none_or(|(best, _)| weight > best) {
            best = Some((weight, found));
        }
    }
    best.map(|(_, found)| found)
}

fn thousandths(text: &str) -> u16 {
    let weight: f32 = text.parse().unwrap_or(0.0);
    (weight.clamp(0.0, 1.0) * 1_000.0) as u16
}

fn matching(offered: &[&str], wanted: &str) -> Option<usize> {
    if wanted == "*" {
        return Some(0);
    }
    let exact = offered
        .iter()
        .position(|tag| tag.eq_ignore_ascii_case(wanted));
    exact.or_else(|| {
        let same = |tag: &&str| primary(tag).eq_ignore_ascii_case(primary(wanted));
        offered.iter().position(same)
    })
}

fn primary(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: [&str; 4] = ["en", "de", "mi", "pt-BR"];

    fn accepted(header: &str) -> &'static str {
        OFFERED[choose(&OFFERED, None, Some(header))]
    }

    #[test]
    fn the_browsers_wishes_are_weighed() {
        for (header, expected) in [
            ("de", "de"),
            ("de-AT, en;q=0.9", "de"),
            ("mi-NZ,en-NZ;q=0.8", "mi"),
            ("en;q=0.5, de;q=0.7", "de"),
            ("pt", "pt-BR"),
            ("fr, *;q=0.1", "en"),
            ("zh, ja;q=0.4", "en"),
            ("de;q=0, en;q=0.1", "en"),
            ("DE", "de"),
            ("", "en"),
            (";;;,,,q=", "en"),
            ("de;q=nonsense, mi;q=0.1", "mi"),
        ] {
            assert_eq!(accepted(header), expected, "{header}");
        }
    }

    #[test]
    fn the_menu_counts_for_more_than_the_browser() {
        assert_eq!(choose(&OFFERED, Some("mi"), Some("de")), 2);
        assert_eq!(choose(&OFFERED, Some("xx"), Some("de")), 1);
        assert_eq!(choose(&OFFERED, None, None), 0);
    }
}
