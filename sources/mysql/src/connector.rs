//! The two connectors: named, listed and validated, and refused when one is to run.

use std::sync::Arc;

use async_trait::async_trait;
use model::{
    config::{Config, ConfigDef},
    connector::{Props, SourceConnector, SourceTask, Start},
    error::{Error, Result},
};

use crate::config;

/// The connectors, for the list of plug-ins.
pub fn connectors() -> Vec<Arc<dyn SourceConnector>> {
    vec![Arc::new(MYSQL), Arc::new(MARIADB)]
}

const MYSQL: Connector = Connector {
    class: "io.debezium.connector.mysql.MySqlConnector",
    version: "3.6.1.Final",
    config: &config::MYSQL,
    not_run: "this version validates configurations of the MySQL connector and does not run it yet",
};

const MARIADB: Connector = Connector {
    class: "io.debezium.connector.mariadb.MariaDbConnector",
    version: "3.5.0.Final",
    config: &config::MARIADB,
    not_run: "this version validates configurations of the MariaDB connector and does not run it \
              yet",
};

struct Connector {
    class: &'static str,
    version: &'static str,
    config: &'static ConfigDef,
    not_run: &'static str,
}

#[async_trait]
impl SourceConnector for Connector {
    fn class(&self) -> &'static str {
        self.class
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn config(&self) -> &'static ConfigDef {
        self.config
    }

    fn not_run(&self) -> Option<&'static str> {
        Some(self.not_run)
    }

    /// A worker that takes a cluster over can find one in the config topic.
    async fn task_configs(&self, _props: &Props, _tasks_max: usize) -> Result<Vec<Props>> {
        Err(Error::fatal(self.not_run))
    }

    async fn start(&self, _config: Config, _start: Start) -> Result<Box<dyn SourceTask>> {
        Err(Error::fatal(self.not_run))
    }
}
