//! Renders reports.
use super::args::Output;
use crate::gitops::{PlanReport, Report, Reporter};
use std::process::ExitCode;
/// x
pub struct Printer;
impl Printer {
    pub fn stdout(_o: Output) -> Self {
        Self
    }
}
impl Reporter for Printer {
    fn report(&self, report: Report) {
        println!("{report:?}");
    }
}
/// x
pub fn print_plan(plan: &PlanReport, _o: Output) -> anyhow::Result<ExitCode> {
    println!("{plan:?}");
    Ok(ExitCode::SUCCESS)
}
