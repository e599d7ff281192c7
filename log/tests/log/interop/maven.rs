//! Jars that Maven fetches, from where it is set up to look. The tests of other crates include this module.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Seconds that any run of Maven or Java may take.
pub(crate) const TIMEOUT: &str = "300";

/// A jar, as Maven names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Artifact<'a> {
    /// With dots, or with slashes as in a path.
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}

/// Puts the jars, and with them what they need unless `options` say otherwise, into `dir`, which does not exist before and
/// is whole if it exists after. Fails with the reason to skip a test.
pub(crate) fn fetch(artifacts: &[Artifact<'_>], options: &[&str], dir: &Path) -> Result<(), String> {
    let artifact = |Artifact { group, name, version }: &Artifact<'_>| {
        let group = group.replace('/', ".");
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        )
    };
    let list: String = artifacts.iter().map(artifact).collect();
    let project = format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>jars</artifactId>\
         <version>1</version><dependencies>{list}</dependencies></project>"
    );
    // Elsewhere first, so that a download that breaks off leaves no half of the jars behind.
    let aside = dir.with_extension(std::process::id().to_string());
    let jars = aside.join("jars");
    fs::create_dir_all(&jars).unwrap();
    let pom = aside.join("pom.xml");
    fs::write(&pom, project).unwrap();
    let output = Command::new("timeout")
        .args([TIMEOUT, "mvn", "--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .args(options)
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .map_err(|error| format!("no Maven here: {error}"))?;
    let fetched = if output.status.success() {
        // Another test may have been first.
        let moved = fs::rename(&jars, dir);
        moved.or_else(|error| if dir.exists() { Ok(()) } else { Err(format!("{}: {error}", dir.display())) })
    } else {
        let said = String::from_utf8_lossy(&output.stdout);
        let reasons = said.lines().filter_map(|line| Some(line.split_once("[ERROR]")?.1.trim()));
        let reason = reasons.into_iter().find(|reason| !reason.is_empty());
        Err(format!("Maven: {}", reason.unwrap_or("no reason given")))
    };
    fs::remove_dir_all(aside).map_err(|error| error.to_string())?;
    fetched
}
