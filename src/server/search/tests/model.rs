//! The index agrees with a naive model after any changes of the log, restarts and losses of its file.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::Scene;
use crate::names::{RoomId, Seq};
use crate::server::search::{Query, Wanted};

const WORDS: [&str; 12] =
    ["tea", "Teapot", "green", "grün", "上海", "我家在上海东边", "bob@x.org", "a", "b", "c", "42", "—"];

const QUERIES: [&str; 16] = [
    "tea",
    "tea*",
    "green",
    "GRUN",
    "\"green tea\"",
    "tea green",
    "上海",
    "海",
    "边",
    "家在上",
    "bob",
    "\"x org\"",
    "a b",
    "\"a b c\"",
    "42",
    "gre* tea*",
];

#[derive(Clone, Debug)]
enum Step {
    Post(u64, usize, Vec<Vec<usize>>),
    Edit(u64, u64, Vec<usize>),
    Delete(u64, u64),
    Trim(u64, u64),
    CatchUp,
    Restart,
    DeleteFile,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let words = || proptest::collection::vec(0..WORDS.len(), 1..6);
    let step = prop_oneof![
        8 => (1..4_u64, 0..3_usize, proptest::collection::vec(words(), 1..4)).prop_map(|(r, s, b)| Step::Post(r, s, b)),
        4 => (1..4_u64, any::<u64>(), words()).prop_map(|(r, n, b)| Step::Edit(r, n, b)),
        3 => (1..4_u64, any::<u64>()).prop_map(|(r, n)| Step::Delete(r, n)),
        1 => (1..4_u64, any::<u64>()).prop_map(|(r, n)| Step::Trim(r, n)),
        1 => Just(Step::CatchUp),
        1 => Just(Step::Restart),
        1 => Just(Step::DeleteFile),
    ];
    proptest::collection::vec(step, 1..25)
}

fn body(words: &[usize]) -> String {
    words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" ")
}

/// The messages as they should be, in the order in which they were posted.
#[derive(Default)]
struct Model {
    order: Vec<(u64, Seq)>,
    texts: BTreeMap<(u64, Seq), (&'static str, String)>,
}

const SENDERS: [&str; 3] = ["ann", "bob", "Änn"];

fn run(steps: &[Step]) {
    let mut scene = Scene::new();
    let mut model = Model::default();
    for step in steps {
        let message = |model: &Model, room: u64, number: u64| {
            let of_room: Vec<_> = model.texts.keys().filter(|(of, _)| *of == room).collect();
            (!of_room.is_empty()).then(|| *of_room[(number % of_room.len() as u64) as usize])
        };
        match step {
            Step::Post(room, sender, bodies) => {
                let bodies: Vec<_> = bodies.iter().map(|words| body(words)).collect();
                let sender = SENDERS[*sender];
                let first = scene.log.post(*room, sender, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
                for (n, body) in bodies.into_iter().enumerate() {
                    let place = (*room, Seq(first.0 + n as u64));
                    model.order.push(place);
                    model.texts.insert(place, (sender, body));
                }
            }
            Step::Edit(room, number, words) => {
                if let Some((room, seq)) = message(&model, *room, *number) {
                    scene.log.edit(room, seq, &body(words));
                    model.texts.get_mut(&(room, seq)).expect("it was just found").1 = body(words);
                }
            }
            Step::Delete(room, number) => {
                if let Some((room, seq)) = message(&model, *room, *number) {
                    scene.log.delete(room, seq);
                    model.texts.remove(&(room, seq));
                }
            }
            Step::Trim(room, number) => {
                let (oldest, head) = (scene.log.oldest(*room), scene.log.head(*room));
                if head > Seq::ZERO {
                    let oldest = Seq(oldest.0 + number % (head.0 + 2 - oldest.0));
                    scene.log.trim(*room, oldest);
                    model.texts.retain(|(of, seq), _| of != room || *seq >= oldest);
                }
            }
            Step::CatchUp => scene.catch_up(),
            Step::Restart => scene.start(),
            Step::DeleteFile => fs::remove_file(scene.file()).unwrap_or_default(),
        }
    }
    // The index looks for trimmed messages after an event, and finds a deleted file with the next search or event.
    scene.start();
    scene.catch_up();
    super::wait_for("trimmed messages to be removed", || agrees(&scene, &model));
}

fn agrees(scene: &Scene, model: &Model) -> bool {
    QUERIES.iter().all(|text| {
        let query = Query::parse(text).expect("it is valid");
        [None, Some(&[RoomId(1), RoomId(3)][..])].into_iter().all(|rooms| {
            [None, Some("ann")].into_iter().all(|sender| {
                let is_expected = |place: &&(u64, Seq)| {
                    model.texts.get(place).is_some_and(|(of, body)| {
                        query.matches(body)
                            && sender.is_none_or(|sender| sender == *of)
                            && rooms.is_none_or(|rooms| rooms.contains(&RoomId(place.0)))
                    })
                };
                let expected: Vec<_> =
                    model.order.iter().rev().filter(is_expected).map(|(room, seq)| (RoomId(*room), *seq)).collect();
                let wanted = Wanted { query: &query, rooms, sender, after_ms: 0, before_ms: 0 };
                let found = scene.find_wanted(&wanted).expect("the index can be read");
                if found != expected {
                    eprintln!("{text} in {rooms:?} of {sender:?}: found {found:?}, expected {expected:?}");
                }
                found == expected
            })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_index_agrees_with_a_naive_model(steps in steps()) {
        run(&steps);
    }
}
