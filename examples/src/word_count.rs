//! Word count: the words of a text, counted as its lines come.
//!
//! ```sh
//! cargo run --release --example word_count [FILE]
//! ```

use std::fs;

use millstream_examples::{Outcome, Sandbox};
use millstream_streams::dsl::{Consumed, Materialized, Record, StreamsBuilder};
use millstream_streams::{StreamsError, Topology};

const TEXT: &str = "\
All streams lead to the kafka log
Hello kafka streams
Join kafka summit
The log of the streams";

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("lines", Consumed::default())
        .flat_map_values(|_, line| {
            let words = line.split(|letter: char| !letter.is_alphanumeric());
            words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect::<Vec<_>>()
        })
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"))
        .to_stream()
        .to("word-counts");
    builder.build()
}

fn main() -> Outcome {
    let text = match std::env::args().nth(1) {
        Some(file) => fs::read_to_string(file)?,
        None => TEXT.to_owned(),
    };
    let sandbox = Sandbox::new(&["lines", "word-counts"], 4)?;
    let lines = (0i64..).zip(text.lines());
    sandbox.write("lines", lines.map(|(number, line)| Record::new(number, line.to_owned(), number)))?;
    let app = sandbox.run("word-count", topology()?)?;
    let mut counts: Vec<(String, i64)> = Vec::new();
    for row in app.store("counts")?.key_value::<String, i64>()?.all()? {
        let (word, row) = row?;
        counts.push((word, row.value));
    }
    app.close()?;
    // The most frequent first.
    counts.sort_by(|(word, count), (other, more)| more.cmp(count).then_with(|| word.cmp(other)));
    for (word, count) in counts.iter().take(10) {
        println!("{count:4} {word}");
    }
    Ok(())
}
