//! Runs `interfaces`: lists what can be captured on.

use std::io::Write;

use super::args::OutputFormat;
use crate::capture;
use crate::capture::InterfaceInfo;

pub(super) fn run(format: OutputFormat, out: &mut dyn Write) -> anyhow::Result<()> {
    let interfaces = capture::interfaces()?;
    match format {
        OutputFormat::Jsonl => {
            for interface in &interfaces {
                serde_json::to_writer(&mut *out, interface)?;
                writeln!(out)?;
            }
        }
        OutputFormat::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(["name", "state", "addresses", "link_types", "description"])?;
            for interface in &interfaces {
                let addresses = interface.addresses.join(";");
                let link_types = interface.link_types.as_deref().unwrap_or_default().join(";");
                csv.write_record([
                    &interface.name,
                    interface.state,
                    &addresses,
                    &link_types,
                    &interface.description,
                ])?;
            }
            csv.flush()?;
        }
        OutputFormat::Table => print_table(&interfaces, out)?,
    }
    Ok(())
}

fn print_table(interfaces: &[InterfaceInfo], out: &mut dyn Write) -> anyhow::Result<()> {
    if interfaces.is_empty() {
        writeln!(out, "no interfaces found; listing them may need root")?;
        return Ok(());
    }
    let heads = ["interface", "state", "link type", "addresses", "description"];
    let rows: Vec<[String; 5]> = interfaces
        .iter()
        .map(|interface| {
            // The link types of an interface that cannot be opened are unknown.
            let link_types =
                interface.link_types.as_ref().map_or_else(|| "?".to_owned(), |types| types.join(","));
            [
                interface.name.clone(),
                interface.state.to_owned(),
                link_types,
                interface.addresses.join(", "),
                interface.description.clone(),
            ]
        })
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heads.get(column).map(|head| head.len())).max().unwrap_or_default()
    };
    let (name_width, state_width, link_width, address_width) = (width(0), width(1), width(2), width(3));
    for [name, state, link, addresses, description] in
        std::iter::once(heads.map(str::to_owned)).chain(rows.iter().cloned())
    {
        let line = format!(
            "{name:<name_width$}  {state:<state_width$}  {link:<link_width$}  {addresses:<address_width$}  {description}"
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_the_table_are_aligned() {
        let interface = |name: &str, addresses: &[&str], description: &str| InterfaceInfo {
            name: name.to_owned(),
            state: "up",
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            link_types: Some(vec!["EN10MB".to_owned()]),
            description: description.to_owned(),
        };
        let interfaces =
            [interface("eth0", &["10.1.0.4/24", "fd00::4/64"], "uplink"), interface("span0", &[], "mirror")];
        let mut table = Vec::new();
        print_table(&interfaces, &mut table).unwrap();
        assert_eq!(
            String::from_utf8(table).unwrap(),
            "interface  state  link type  addresses                description\n\
             eth0       up     EN10MB     10.1.0.4/24, fd00::4/64  uplink\n\
             span0      up     EN10MB                              mirror\n"
        );
    }
}
