//! Loads what a run compares flows with: rules, site file, service tags.
//!
//! In:  a [`PolicyPlan`].
//! Out: a [`LoadedPolicy`] for the pipeline and for the manifest, or every error found.
//! Not: verdicts.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::bail;
use hashbrown::HashSet;

use super::plan::PolicyPlan;
use super::plan::ResourceLimits;
use super::plan::RulesPlan;
use crate::base::Address;
use crate::base::CapturePoints;
use crate::base::Time;
use crate::base::TimeWindow;
use crate::decode;
use crate::flow;
use crate::judge;
use crate::judge::Policy;
use crate::judge::Scope;
use crate::pipeline;
use crate::report::CitedRow;
use crate::report::PolicySource;
use crate::report::RunFacts;
use crate::report::TagSource;
use crate::report::UsedDocument;
use crate::rules::Library;
use crate::rules::Pattern;
use crate::rules::Reference;
use crate::rules::RuleFileError;
use crate::rules::RuleSet;
use crate::rules::Selection;
use crate::rules::ServiceKind;
use crate::rules::Site;
use crate::rules::Tags;

/// What flows are compared with, loaded and checked.
#[derive(Clone)]
pub(super) struct LoadedPolicy {
    policy: Arc<Policy>,
    rule_set: Arc<RuleSet>,
    scope: Scope,
    documents: Vec<UsedDocument>,
    rules: PolicySource,
    site: Site,
    service_tags: Option<TagSource>,
}

impl LoadedPolicy {
    pub(super) fn load(plan: &PolicyPlan) -> anyhow::Result<LoadedPolicy> {
        let library = load_library(&plan.rules)?;
        let mut site = match &plan.site {
            Some(path) => Site::load(path, &library).map_err(join_errors)?,
            None => Site::default(),
        };
        let mut selection = site.selection();
        if !plan.documents.is_empty() {
            selection.documents = Some(plan.documents.clone());
        }
        let rules = Arc::new(library.select(&selection)?);
        let tags = site.service_tags.as_deref().map(Tags::load).transpose()?.map(Arc::new);
        if let Some(tags) = tags.as_deref() {
            check_cloud(&mut site, tags)?;
        }
        let documents = rules
            .documents()
            .iter()
            .map(|document| UsedDocument {
                id: document.id.to_string(),
                sha256: document.sha256.to_string(),
                title: document.title.to_string(),
                date: document.date.to_string(),
                source: document.source.to_string(),
                retrieved: document.retrieved.to_string(),
            })
            .collect();
        let service_tags = tags.as_deref().map(|tags| TagSource {
            file: tags.file.to_string(),
            sha256: tags.sha256.to_string(),
            date: tags.date.to_string(),
            change_number: tags.change_number,
            cloud: tags.cloud_word.to_string(),
        });
        let mut servers = plan.servers.clone();
        servers.extend(site.roles.get("servers").into_iter().flatten());
        Ok(LoadedPolicy {
            policy: Arc::new(Policy::new(Arc::clone(&rules), site.clone(), tags)),
            rule_set: rules,
            scope: Scope::of(&servers),
            documents,
            rules: rules_source(&plan.rules),
            site,
            service_tags,
        })
    }

    /// An audit with this policy.
    pub(super) fn audit_plan(&self, limits: &ResourceLimits) -> pipeline::AuditPlan {
        pipeline::AuditPlan {
            policy: Arc::clone(&self.policy),
            scope: self.scope.clone(),
            fragments: decode::FragmentLimits::default(),
            flows: flow::FlowLimits {
                flows: limits.flows.get() as usize,
                held_bytes: limits.stream_bytes,
                ..flow::FlowLimits::default()
            },
            judge: judge::JudgeLimits { findings: limits.findings, name_bytes: limits.name_bytes },
            points: CapturePoints::default(),
            window: TimeWindow::default(),
            leaves_memory: true,
        }
    }

    /// The provenance of the policy, for a capture of this time span. Nothing of the run is filled in yet.
    pub(super) fn run_facts(&self, span: Option<(Time, Time)>) -> RunFacts {
        let LoadedPolicy { documents, rules, site, service_tags, .. } = self;
        let proxy = |(address, port): &(Address, u16)| SocketAddr::new(address.to_ip(), *port).to_string();
        let site_source = || PolicySource {
            path: site.file.clone(),
            sha256: site.sha256.to_string(),
            proxies: site.proxies.iter().map(proxy).collect(),
        };
        let last_day = span.and_then(|(_, last)| {
            let last = jiff::Timestamp::from_second(last.secs()).ok()?;
            Some(last.to_zoned(jiff::tz::TimeZone::UTC).date())
        });
        let excesses = site.allow.iter().filter_map(|allow| allow.excess(last_day));
        let tag_warning = service_tags.as_ref().and_then(|tags| tags.warning(span));
        RunFacts {
            documents: documents.clone(),
            rules: Some(rules.clone()),
            site: (!site.file.is_empty()).then(site_source),
            service_tags: service_tags.clone(),
            site_warnings: site.warnings.iter().cloned().chain(excesses).collect(),
            warnings: tag_warning.into_iter().collect(),
            ..RunFacts::default()
        }
    }

    /// Adds to the facts of a run the documented rows that its findings and requirements cite.
    pub(super) fn add_cited_rows(&self, facts: &mut RunFacts) {
        let findings = facts.findings.iter().map(|row| &*row.references);
        let requirements = facts.requirements.iter().map(|row| row.references.as_str());
        // Thousands of findings cite a few lists.
        let lists: HashSet<&str> = findings.chain(requirements).collect();
        // `afs-2019-06-24/endpoints/6.2 (as meant)`: the id ends at the space.
        let ids: HashSet<&str> = lists
            .into_iter()
            .flat_map(|ids| ids.split(';'))
            .filter_map(|id| id.split_whitespace().next())
            .collect();
        facts.cited = self
            .rule_set
            .iter()
            .filter(|(_, reference)| ids.contains(&*reference.id))
            .map(|(_, reference)| (reference.id.to_string(), cited_row(reference)))
            .collect();
    }
}

/// The part of a row that evidence keeps.
fn cited_row(reference: &Reference) -> CitedRow {
    let text = |pattern: &Pattern| pattern.text.to_string();
    let row = &reference.row;
    let hosts = match (&*reference.filled, &reference.alias, &reference.host) {
        // An alias corrects a misprint, or adds the name to a wildcard for the names under it.
        ([], Some(alias), Some(host))
            if host.any_front && host.head.is_empty() && host.tail == alias.text =>
        {
            vec![text(host), text(alias)]
        }
        ([], Some(host), _) | ([], None, Some(host)) => vec![text(host)],
        (filled, _, _) => filled.iter().map(text).collect(),
    };
    CitedRow {
        document: reference.document.id.to_string(),
        table: reference.table.title.to_string(),
        row: row.number,
        printed: row.printed.to_string(),
        service: row.service.as_deref().unwrap_or_default().to_owned(),
        service_kind: reference.service_kind.map_or("", ServiceKind::word).to_owned(),
        level: reference.level.word().to_owned(),
        hosts,
        ports: reference.effective_ports().to_string(),
        broad: reference.broad,
        service_tags: row
            .tags
            .iter()
            .map(|(tag, _)| tag)
            .chain(&row.tags_of_service)
            .map(|tag| tag.to_string())
            .collect(),
    }
}

/// The rules that a `rules` command or a run reads.
pub(super) fn load_library(plan: &RulesPlan) -> anyhow::Result<Library> {
    Ok(match &plan.folder {
        Some(folder) => Library::from_dir(folder)?,
        None => Library::embedded()?,
    })
}

/// The rules of every document, including those that newer documents replace.
pub(super) fn load_all_rules(plan: &RulesPlan) -> anyhow::Result<RuleSet> {
    let library = load_library(plan)?;
    let documents = library.documents().map(|document| document.id.to_string()).collect();
    library
        .select(&Selection { documents: Some(documents), ..Selection::default() })
        .context("cannot select rules")
}

/// Addresses of one cloud say nothing about names of another.
fn check_cloud(site: &mut Site, tags: &Tags) -> anyhow::Result<()> {
    match (site.cloud, tags.cloud()) {
        (Some(site), Some(cloud)) if site == cloud => {}
        (Some(site), _) => bail!(
            "cannot use service tags: {}: the file is for the cloud `{}`, the site is in `{site}`",
            tags.file,
            tags.cloud_word
        ),
        (None, Some(_)) => {}
        (None, None) => site.warnings.push(format!(
            "the service tags are for the cloud `{}`, which no document covers: they are not compared with names",
            tags.cloud_word
        )),
    }
    Ok(())
}

/// Every error, one per line.
fn join_errors(errors: Vec<RuleFileError>) -> anyhow::Error {
    let lines: Vec<String> = errors.iter().map(RuleFileError::to_string).collect();
    anyhow::anyhow!("{}", lines.join("\nafs-audit: "))
}

fn rules_source(plan: &RulesPlan) -> PolicySource {
    let folder = plan.folder.as_ref().map(|folder| folder.display().to_string());
    let path = folder.unwrap_or_else(|| "built in".to_owned());
    PolicySource { path, sha256: String::new(), proxies: Vec::new() }
}
