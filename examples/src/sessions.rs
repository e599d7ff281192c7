//! Sessions: visits of a web site, which end after half an hour without a click.
//!
//! A visit comes out once, when it is over. A click that comes late still counts, and can join two visits that seemed
//! to be separate.
//!
//! ```sh
//! cargo run --release --example sessions
//! ```

use std::time::Duration;

use millstream_examples::{Outcome, Sandbox, at, time_of_day};
use millstream_streams::dsl::{Consumed, Materialized, Record, StreamsBuilder};
use millstream_streams::operator::{EmitStrategy, SessionWindows};
use millstream_streams::serde::{DefaultSerde, Json};
use millstream_streams::{StreamsError, Topology};
use serde::{Deserialize, Serialize};

const GAP: Duration = Duration::from_secs(30 * 60);
const GRACE: Duration = Duration::from_secs(10 * 60);

/// A visit: its first and last click, and the pages.
#[derive(Clone, Serialize, Deserialize)]
struct Visit {
    from: i64,
    to: i64,
    pages: Vec<String>,
}

impl DefaultSerde for Visit {
    type Serde = Json;
}

/// Pages in the order in which they came.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Pages(Vec<String>);

impl DefaultSerde for Pages {
    type Serde = Json;
}

impl Pages {
    fn with(mut self, pages: &[String]) -> Self {
        self.0.extend_from_slice(pages);
        self
    }
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("clicks", Consumed::default())
        .group_by_key()
        .windowed_by(SessionWindows::of(GAP).grace(GRACE))
        .emit_strategy(EmitStrategy::OnWindowClose)
        .aggregate(
            Pages::default,
            |_, page, pages| pages.with(std::slice::from_ref(page)),
            |_, earlier, later| earlier.with(&later.0),
            Materialized::named("visits"),
        )
        .to_stream()
        .map(|session, pages| {
            let (user, from, to) = session.map(|it| (it.key.clone(), it.start, it.end)).unwrap_or_default();
            (user, Visit { from, to, pages: pages.0.clone() })
        })
        .to("visits");
    builder.build()
}

fn main() -> Outcome {
    let click = |user: &str, page: &str, time| Record::new(user.to_owned(), page.to_owned(), time);
    let clicks = [
        click("ann", "/", at(9, 0, 0)),
        click("bob", "/", at(9, 5, 0)),
        click("ann", "/shop", at(9, 10, 0)),
        click("ann", "/cart", at(9, 50, 0)),
        // Late: it lies within 30 minutes of both of Ann's visits, which thereby become one.
        click("ann", "/search", at(9, 30, 0)),
        click("bob", "/", at(10, 0, 0)),
        click("bob", "/help", at(10, 20, 0)),
        // Nothing comes out before the time has come, so the last click of the day closes the visits before it.
        click("cyd", "/", at(23, 0, 0)),
    ];
    let sandbox = Sandbox::new(&["clicks", "visits"], 1)?;
    sandbox.write("clicks", clicks)?;
    sandbox.run("sessions", topology()?)?.close()?;
    for visit in sandbox.read::<String, Visit>("visits")? {
        let (user, Some(visit)) = (visit.key.unwrap_or_default(), visit.value) else { continue };
        let (from, to) = (time_of_day(visit.from), time_of_day(visit.to));
        println!("{user} {from} to {to}: {}", visit.pages.join(" "));
    }
    Ok(())
}
