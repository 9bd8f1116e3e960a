//! A naive model, which every log must agree with after any operations.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixtures::{at, post, post_without_id, published, room};
use super::subject::{Open, is_later, read_all, trim_all};
use crate::names::{Epoch, RoomId, Seq};
use crate::server::log::{Appended, Appender, LogError, Retention, Segment};

/// An operation on a log.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, u64, bool)>),
    Find(usize),
    Trim,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few rooms and ids, so that some are used repeatedly.
    let posts = vec((0..3usize, 0..12u64, any::<bool>()), 1..12);
    let step = prop_oneof![
        6 => posts.prop_map(Step::Append),
        2 => (0..3usize).prop_map(Step::Find),
        2 => Just(Step::Trim),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..30)
}

/// A room in a naive log.
#[derive(Default)]
struct Model {
    bodies: Vec<String>,
    /// The message of each id, whether it is kept or not: a case takes less than a day.
    ids: HashMap<u64, u64>,
    /// The size of each segment that is kept, and how many messages were trimmed.
    segments: Vec<u64>,
    trimmed: u64,
}

const KEPT: u64 = 15;

impl Model {
    /// Removes whole segments, as long as enough messages remain without them.
    fn trim(&mut self) {
        while let Some(&oldest) = self.segments.first()
            && self.bodies.len() as u64 >= self.trimmed + oldest + KEPT
        {
            self.trimmed += self.segments.remove(0);
        }
    }
}

pub fn the_log_agrees_with_a_naive_model(open: Open<'_>) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
    let outcome = runner.run(&steps(), |steps| {
        let mut subject = open(Retention { messages: Some(KEPT), ..Retention::default() });
        let numbered = |number: usize| room(&format!("room-{number}"));
        // The number and epoch of each room that has messages.
        let mut known: HashMap<usize, (RoomId, Epoch)> = HashMap::new();
        let mut models: HashMap<usize, Model> = HashMap::new();
        for (time, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(said) => append(&mut *subject.appender, &mut models, &said, at(time as u64))?,
                Step::Trim => {
                    prop_assert!(is_later(trim_all(&mut *subject.appender, at(time as u64))));
                    models.values_mut().for_each(Model::trim);
                }
                Step::Find(number) => {
                    let found = subject.appender.find(&numbered(number)).unwrap();
                    prop_assert_eq!(found.is_some(), models.contains_key(&number));
                }
                Step::Reopen => subject.reopen(),
            }
            let rooms = subject.log.rooms(None, 10).unwrap();
            prop_assert_eq!(rooms.len(), models.len());
            for (room_number, model) in &models {
                let state = subject.log.find(&numbered(*room_number)).unwrap().unwrap();
                prop_assert_eq!(*known.entry(*room_number).or_insert((state.id, state.epoch)), (state.id, state.epoch));
                prop_assert_eq!((state.head.0, state.oldest.0), (model.bodies.len() as u64, model.trimmed + 1));
                let bodies: Vec<_> =
                    read_all(&*subject.log, state.id, 1).into_iter().map(|(.., body, _)| body).collect();
                prop_assert_eq!(&bodies, &model.bodies[model.trimmed as usize..]);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

fn append(
    appender: &mut dyn Appender,
    models: &mut HashMap<usize, Model>,
    said: &[(usize, u64, bool)],
    now: SystemTime,
) -> Result<(), TestCaseError> {
    let mut expected = Vec::new();
    let mut runs: HashMap<usize, u64> = HashMap::new();
    let posts: Vec<_> = said
        .iter()
        .enumerate()
        .map(|(index, (number, id, chosen))| {
            let model = models.entry(*number).or_default();
            let name = room(&format!("room-{number}"));
            let next = model.bodies.len() as u64 + 1;
            let before = chosen.then(|| model.ids.get(id).copied()).flatten();
            let stored = before.filter(|seq| *seq > model.trimmed).map(|seq| &model.bodies[seq as usize - 1]);
            // Half of the posts with a known id repeat the message, and the others are another one.
            let body = stored.filter(|_| index % 2 == 0).cloned().unwrap_or_else(|| format!("{index} {next}"));
            expected.push(match before {
                None => Ok(Appended::New(RoomId(0), Seq(next))),
                Some(seq) if stored.is_some_and(|stored| *stored != body) => Err(LogError::IdTaken(Seq(seq))),
                Some(seq) => Ok(Appended::Before(RoomId(0), Seq(seq))),
            });
            if before.is_none() {
                model.bodies.push(body.clone());
                *runs.entry(*number).or_default() += 1;
                if *chosen {
                    model.ids.insert(*id, next);
                }
            }
            if *chosen { post(&name, "ann", *id, &body) } else { post_without_id(&name, "ann", &body) }
        })
        .collect();
    for (number, count) in runs {
        models.entry(number).or_default().segments.push(count);
    }
    let published = published(appender);
    let outcomes = appender.append(&posts, now).unwrap();
    let outcomes: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(Appended::New(_, seq)) => Ok(Appended::New(RoomId(0), seq)),
            Ok(Appended::Before(_, seq)) => Ok(Appended::Before(RoomId(0), seq)),
            error => error,
        })
        .collect();
    prop_assert_eq!(outcomes, expected);
    let checked = |segment: &Arc<Segment>| Segment::check(segment.room(), segment.first(), segment.frame().as_slice());
    for segment in published.try_iter() {
        prop_assert_eq!(checked(&segment).map(|checked| checked.last), Ok(segment.last()));
    }
    Ok(())
}
