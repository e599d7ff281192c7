//! Delays of the flights from New York: the job of `millstream demo`, as a program over the typed DSL.
//!
//! ```sh
//! cargo run --release --example flight_delays
//! ```

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use millstream_connect::{ConnectorConfig, Worker, WorkerConfig};
use millstream_log::{Log, NewTopic};
use millstream_streams::dsl::{Consumed, Materialized, StreamsBuilder};
use millstream_streams::operator::TimeWindows;
use millstream_streams::serde::{DefaultSerde, Json, Utf8};
use millstream_streams::store::KeyRange;
use millstream_streams::{Streams, StreamsConfig, StreamsError, Topology};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A row of the file. Cancelled flights have no delay.
#[derive(Clone, Serialize, Deserialize)]
struct Flight {
    origin: String,
    dep_delay: Option<i64>,
}

/// A row of the table that is joined.
#[derive(Clone, Serialize, Deserialize)]
struct Airline {
    name: String,
}

/// A flight that left, with the name of its airline.
#[derive(Clone, Serialize, Deserialize)]
struct Departure {
    airline: String,
    origin: String,
    delay: i64,
}

/// Delays in minutes, added up.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Delays {
    departures: u64,
    minutes: i64,
    worst: i64,
}

impl DefaultSerde for Flight {
    type Serde = Json;
}

impl DefaultSerde for Airline {
    type Serde = Json;
}

impl DefaultSerde for Departure {
    type Serde = Json;
}

impl DefaultSerde for Delays {
    type Serde = Json;
}

impl Delays {
    fn add(self, departure: &Departure) -> Self {
        Self {
            departures: self.departures + 1,
            minutes: self.minutes + departure.delay,
            worst: self.worst.max(departure.delay),
        }
    }

    fn average(&self) -> f64 {
        self.minutes as f64 / self.departures as f64
    }
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    let airlines = builder.table::<String, Airline>("airlines", Consumed::with(Utf8, Json));
    let departures = builder
        .stream::<String, Flight>("flights", Consumed::with(Utf8, Json))
        .filter(|_, flight| flight.dep_delay.is_some())
        .join(&airlines, |flight, airline| Departure {
            airline: airline.name.clone(),
            origin: flight.origin.clone(),
            delay: flight.dep_delay.unwrap_or_default(),
        });
    departures
        .group_by(|_, departure| departure.origin.clone())
        // History is loaded at full speed: one partition may be months ahead of another.
        .windowed_by(TimeWindows::of(HOUR).grace(YEAR))
        .aggregate(
            Delays::default,
            |_, departure, delays| delays.add(departure),
            Materialized::named("delays-per-hour"),
        )
        .to_stream()
        .to("delays-per-hour");
    departures
        .group_by(|_, departure| departure.airline.clone())
        .aggregate(
            Delays::default,
            |_, departure, delays| delays.add(departure),
            Materialized::named("carriers"),
        )
        .to_stream()
        .to("carriers");
    builder.build()
}

/// Loads the files of `input` into a log in `data` and returns the delays per airline, worst average first.
fn run(input: &Path, data: &Path) -> Result<Vec<(String, Delays)>, Box<dyn Error>> {
    let log = Log::open(data.join("log"))?;
    for topic in ["airlines", "flights", "delays-per-hour", "carriers"] {
        log.create_topic(NewTopic::new(topic).partitions(4))?;
    }
    let config = StreamsConfig::from_properties([
        ("application.id", "flight-delays"),
        ("processing.guarantee", "exactly_once_v2"),
        ("state.dir", &data.join("state").to_string_lossy()),
    ])?;
    let mut app = Streams::open(topology()?, config, log.clone())?;
    app.start()?;

    // The airlines first: a flight is joined with the table as it is when the flight comes.
    for source in [include_str!("../airlines-source.json"), include_str!("../flights-source.json")] {
        let mut config = ConnectorConfig::from_json(source)?;
        let file = config
            .get("file")
            .and_then(|file| Path::new(file).file_name())
            .ok_or("a source names its file")?;
        let file = input.join(file).to_string_lossy().into_owned();
        config.set("file", file);
        Worker::new(log.clone(), WorkerConfig::default()).run_to_end(config)?;
        app.wait_caught_up(Duration::from_secs(60))?;
    }

    let mut carriers = Vec::new();
    for row in app.store("carriers")?.scan(KeyRange::all()) {
        let row = row?;
        carriers.push((String::from_utf8(row.key)?, serde_json::from_slice::<Delays>(&row.value)?));
    }
    carriers.sort_by(|(_, a), (_, b)| b.average().total_cmp(&a.average()));
    app.close()?;
    log.close()?;
    Ok(carriers)
}

fn main() -> ExitCode {
    let input = std::env::args().nth(1).unwrap_or_else(|| "examples/data".to_owned());
    let carriers =
        tempfile::tempdir().map_err(Into::into).and_then(|data| run(Path::new(&input), data.path()));
    let carriers = match carriers {
        Ok(carriers) => carriers,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{:30} {:>10} {:>8} {:>6}", "AIRLINE", "DEPARTURES", "AVERAGE", "WORST");
    for (airline, delays) in carriers {
        println!("{airline:30} {:>10} {:>8.1} {:>6}", delays.departures, delays.average(), delays.worst);
    }
    ExitCode::SUCCESS
}
