//! Colours: what a part of the screen is (its role), and how each role is drawn on a given terminal.
//!
//! Only the palette knows colours. It uses the terminal's own foreground and background, so that the screen fits the
//! user's theme, and the fixed entries of the 256-colour table, whose contrast against the background is tested. With
//! `NO_COLOR`, and on terminals without colours, bold, underlined and reversed text carry the meaning; nothing is
//! expressed by a colour alone.

use ratatui::style::{Color, Modifier, Style};

/// What a part of the screen is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    #[default]
    Text,
    /// Of secondary importance: times, separators, quotes, hints.
    Faint,
    /// The name of another user, with the user's hue: see [`hue`].
    Name(u8),
    OwnName,
    /// Text that mentions the user.
    Mention,
    Link,
    /// A line of the client: joins, changes, gaps.
    Notice,
    Warning,
    Error,
    /// An own message that is not stored yet.
    Pending,
    /// The line between read and unread messages.
    ReadLine,
    /// The line between two days.
    DayLine,
    Border,
    Title,
    /// The topic row and the status row.
    Bar,
    /// Something in a bar that needs attention.
    BarStrong,
    /// A room with unread messages.
    Active,
    /// A room in which the user was mentioned.
    ActiveMention,
    /// The current room, or the chosen item of a list.
    Current,
    Prompt,
    /// A key in a help text or a question.
    Key,
}

/// The number of hues that names have.
pub const HUES: u8 = 12;

/// The hue of a user's name: the same in every room, on every machine and at every start.
pub fn hue(name: &str) -> u8 {
    // FNV-1a: it is stable across versions of the standard library.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The low bits of FNV-1a depend on few bytes of a short name.
    ((hash ^ (hash >> 32)) % u64::from(HUES)) as u8
}

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None, or the user wants none.
    Mono,
    Sixteen,
    Many,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    Dark,
    Light,
}

/// How each role is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    pub depth: Depth,
    pub background: Background,
}

/// The hues, as entries of the 256-colour table.
const DARK_HUES: [u8; HUES as usize] = [39, 76, 111, 114, 141, 147, 173, 179, 180, 208, 213, 80];
const LIGHT_HUES: [u8; HUES as usize] = [19, 22, 25, 54, 56, 58, 88, 90, 92, 94, 23, 125];

/// The hues, as entries of the 16-colour table. Some names share one.
const DARK_SIXTEEN: [u8; 5] = [10, 11, 13, 14, 12];
const LIGHT_SIXTEEN: [u8; 4] = [1, 4, 5, 6];

impl Palette {
    /// From the environment: `NO_COLOR`, `TERM`, `COLORTERM` and `COLORFGBG`. The configuration may override it. The
    /// terminal is not asked: some answer late, or never.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let term = variable("TERM").unwrap_or_default();
        let depth = if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) || is_mono(&term) {
            Depth::Mono
        } else if term.contains("256color")
            || term.ends_with("-direct")
            || variable("COLORTERM").is_some_and(|value| matches!(value.as_str(), "truecolor" | "24bit"))
            || ["alacritty", "foot", "xterm-kitty", "xterm-ghostty", "wezterm"].contains(&term.as_str())
        {
            Depth::Many
        } else {
            Depth::Sixteen
        };
        // "15;0", or "0;default;15": the last part is the background.
        let background = variable("COLORFGBG").and_then(|value| value.rsplit(';').next()?.parse::<u8>().ok());
        let background = if matches!(background, Some(7 | 9..=15)) { Background::Light } else { Background::Dark };
        Self { depth, background }
    }

    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let modified = match role {
            Role::Text | Role::Link | Role::Name(_) | Role::Bar | Role::Notice => plain,
            Role::Faint | Role::Pending | Role::Border | Role::DayLine => plain,
            Role::OwnName | Role::Title | Role::Prompt | Role::Key | Role::Warning => {
                plain.add_modifier(Modifier::BOLD)
            }
            Role::Active | Role::ReadLine | Role::Error => plain.add_modifier(Modifier::BOLD),
            Role::Mention | Role::ActiveMention | Role::BarStrong => plain.add_modifier(Modifier::BOLD),
            // A bar of its own, so that what it covers is as easy to read as elsewhere.
            Role::Current if self.depth == Depth::Many => {
                let bar = if self.background == Background::Dark { 238 } else { 252 };
                plain.add_modifier(Modifier::BOLD).bg(Color::Indexed(bar))
            }
            Role::Current => plain.add_modifier(Modifier::REVERSED),
        };
        let modified = match (role, self.depth) {
            (Role::Link, _) => modified.add_modifier(Modifier::UNDERLINED),
            (Role::Mention | Role::ActiveMention, Depth::Mono) => modified.add_modifier(Modifier::UNDERLINED),
            (Role::Error | Role::BarStrong, Depth::Mono) => modified.add_modifier(Modifier::REVERSED),
            // Dim text is hard to read where colours exist, and the only difference where none do.
            (Role::Faint | Role::Pending | Role::Border | Role::DayLine, Depth::Mono) => {
                modified.add_modifier(Modifier::DIM)
            }
            _ => modified,
        };
        match self.color(role) {
            Some(color) => modified.fg(Color::Indexed(color)),
            None => modified,
        }
    }

    /// The same in the topic row and the status row, which have a background of their own.
    pub fn bar_style(self, role: Role) -> Style {
        match (self.depth, self.background) {
            (Depth::Many, Background::Dark) => self.style(role).bg(Color::Indexed(236)),
            (Depth::Many, Background::Light) => self.style(role).bg(Color::Indexed(254)),
            (Depth::Sixteen | Depth::Mono, _) => {
                let Style { add_modifier, .. } = self.style(role);
                Style::new().add_modifier(add_modifier.difference(Modifier::DIM) | Modifier::REVERSED)
            }
        }
    }

    /// The entry of the colour table; `None` for the terminal's own foreground.
    fn color(self, role: Role) -> Option<u8> {
        let is_dark = self.background == Background::Dark;
        let either = |dark: u8, light: u8| Some(if is_dark { dark } else { light });
        match self.depth {
            Depth::Mono => None,
            Depth::Many => match role {
                Role::Text | Role::Title | Role::OwnName | Role::Prompt => None,
                Role::Current => either(255, 232),
                Role::Faint | Role::Pending | Role::Border | Role::DayLine | Role::Bar => either(247, 241),
                Role::Notice => either(109, 24),
                Role::Name(hue) => {
                    let hues = if is_dark { DARK_HUES } else { LIGHT_HUES };
                    Some(hues[usize::from(hue) % hues.len()])
                }
                Role::Mention | Role::ActiveMention => either(214, 127),
                Role::Link => either(75, 25),
                Role::Warning => either(221, 94),
                Role::Error | Role::BarStrong => either(210, 124),
                Role::ReadLine => either(203, 124),
                Role::Active => either(117, 25),
                Role::Key => either(117, 25),
            },
            Depth::Sixteen => match role {
                Role::Text | Role::Title | Role::OwnName | Role::Current | Role::Prompt => None,
                Role::Faint | Role::Pending | Role::Border | Role::DayLine | Role::Bar => either(7, 8),
                Role::Name(hue) => Some(match is_dark {
                    true => DARK_SIXTEEN[usize::from(hue) % DARK_SIXTEEN.len()],
                    false => LIGHT_SIXTEEN[usize::from(hue) % LIGHT_SIXTEEN.len()],
                }),
                Role::Notice | Role::Link | Role::Active | Role::Key => either(14, 4),
                Role::Mention | Role::ActiveMention | Role::Warning => either(11, 5),
                Role::Error | Role::BarStrong | Role::ReadLine => either(9, 1),
            },
        }
    }
}

fn is_mono(term: &str) -> bool {
    term.is_empty() || term == "dumb" || term.starts_with("vt1") || term.starts_with("vt2") || term.ends_with("-m")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The red, green and blue of an entry of the 256-colour table.
    fn rgb(color: u8) -> [f64; 3] {
        let step = |level: u8| if level == 0 { 0.0 } else { f64::from(level) * 40.0 + 55.0 };
        match color {
            16..=231 => [(color - 16) / 36, (color - 16) / 6 % 6, (color - 16) % 6].map(step),
            232.. => [f64::from(color - 232) * 10.0 + 8.0; 3],
            _ => panic!("{color} depends on the theme"),
        }
    }

    fn luminance(rgb: [f64; 3]) -> f64 {
        let [r, g, b] = rgb.map(|value| {
            let value = value / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    const ROLES: [Role; 17] = [
        Role::Faint,
        Role::Mention,
        Role::Link,
        Role::Notice,
        Role::Warning,
        Role::Error,
        Role::Pending,
        Role::ReadLine,
        Role::DayLine,
        Role::Border,
        Role::Bar,
        Role::BarStrong,
        Role::Active,
        Role::ActiveMention,
        Role::Key,
        Role::Name(0),
        Role::Name(7),
    ];

    const IN_BARS: [Role; 5] = [Role::Bar, Role::BarStrong, Role::Active, Role::ActiveMention, Role::Faint];

    /// The ratio of 4.5 is that of the Web Content Accessibility Guidelines, level AA.
    #[test]
    fn everything_is_readable_on_usual_backgrounds() {
        let themes = [
            (Background::Dark, [[0.0, 0.0, 0.0], [30.0, 30.0, 30.0], [0.0, 43.0, 54.0]]),
            (Background::Light, [[255.0, 255.0, 255.0], [253.0, 246.0, 227.0], [245.0, 245.0, 245.0]]),
        ];
        for (background, colors) in themes {
            let palette = Palette { depth: Depth::Many, background };
            let roles = ROLES.into_iter().chain((0..HUES).map(Role::Name));
            for role in roles {
                let Some(Color::Indexed(color)) = palette.style(role).fg else { continue };
                let Some(Color::Indexed(bar)) = palette.bar_style(role).bg else { panic!("no background") };
                for behind in colors.into_iter().chain(IN_BARS.contains(&role).then(|| rgb(bar))) {
                    let ratio = contrast(rgb(color), behind);
                    assert!(ratio >= 4.5, "{role:?} ({color}) on {behind:?}: {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn what_is_chosen_is_easy_to_read() {
        for background in [Background::Dark, Background::Light] {
            let style = Palette { depth: Depth::Many, background }.style(Role::Current);
            let (Some(Color::Indexed(text)), Some(Color::Indexed(bar))) = (style.fg, style.bg) else {
                panic!("{style:?}")
            };
            assert!(contrast(rgb(text), rgb(bar)) >= 7.0);
        }
        let style = Palette { depth: Depth::Sixteen, background: Background::Dark }.style(Role::Current);
        assert!(style.add_modifier.contains(Modifier::REVERSED));
    }

    #[test]
    fn without_colors_nothing_is_colored_and_the_important_parts_differ() {
        let palette = Palette { depth: Depth::Mono, background: Background::Dark };
        for role in ROLES {
            assert_eq!(palette.style(role).fg, None, "{role:?}");
            assert_eq!(palette.style(role).bg, None, "{role:?}");
        }
        let text = palette.style(Role::Text);
        for role in [Role::Mention, Role::Error, Role::Active, Role::ActiveMention, Role::Current, Role::Link] {
            assert_ne!(palette.style(role), text, "{role:?}");
        }
        assert_ne!(palette.style(Role::Active), palette.style(Role::ActiveMention));
    }

    #[test]
    fn the_environment_decides() {
        let palette = |variables: &[(&str, &str)]| {
            Palette::from_environment(|name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(palette(&[("TERM", "xterm-256color")]).depth, Depth::Many);
        assert_eq!(palette(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]).depth, Depth::Mono);
        assert_eq!(palette(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]).depth, Depth::Many);
        assert_eq!(palette(&[("TERM", "linux")]).depth, Depth::Sixteen);
        assert_eq!(palette(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]).depth, Depth::Many);
        assert_eq!(palette(&[("TERM", "vt220")]).depth, Depth::Mono);
        assert_eq!(palette(&[]).depth, Depth::Mono);
        assert_eq!(palette(&[("COLORFGBG", "0;15")]).background, Background::Light);
        assert_eq!(palette(&[("COLORFGBG", "0;default;15")]).background, Background::Light);
        assert_eq!(palette(&[("COLORFGBG", "15;0")]).background, Background::Dark);
        assert_eq!(palette(&[("COLORFGBG", "nonsense")]).background, Background::Dark);
    }

    #[test]
    fn hues_are_stable_and_spread() {
        assert_eq!(hue("ann"), hue("ann"));
        let mut counts = [0; HUES as usize];
        for n in 0..1200 {
            counts[usize::from(hue(&format!("user{n}")))] += 1;
        }
        assert!(counts.iter().all(|&count| (60..=140).contains(&count)), "{counts:?}");
        // Fixed forever: a user who upgrades finds the same colours.
        assert_eq!(["ann", "bob", "cat", "Zoë"].map(hue), [5, 9, 2, 5]);
    }
}
