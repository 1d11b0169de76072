//! The catalog of a real server.

use super::*;
use crate::wire::tests::live;

fn id(name: &str) -> TableId {
    TableId { namespace: "public".into(), name: name.into() }
}

#[tokio::test]
async fn a_table_is_known_by_its_number() {
    let Some((server, client, handle)) = live::database("catalog_tables").await else { return };
    let session = Session::connect(&server, &[]).await.unwrap();
    let prepare = "
        CREATE TABLE t (a int, b int, PRIMARY KEY (b, a)); CREATE TABLE t_new (id int PRIMARY KEY);
        CREATE TABLE partial (a int, b int); CREATE UNIQUE INDEX ON partial (b) WHERE b > 0";
    session.execute("prepare", prepare).await.unwrap();
    let oid = session.query_one("look up", "SELECT 't'::regclass::oid", &[]).await.unwrap();
    let swap = "ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO t";
    session.execute("swap", swap).await.unwrap();
    let by_number = table_of(&session, oid.get(0), &id("t")).await.unwrap().unwrap();
    assert_eq!(by_number.key, ["b", "a"]);
    assert!(by_number.key_unique && by_number.columns.iter().all(|column| column.not_null));
    assert_eq!(table(&session, &id("t")).await.unwrap().unwrap().key, ["id"]);
    let partial = table(&session, &id("partial")).await.unwrap().unwrap();
    assert!(partial.key == ["b"] && !partial.key_unique);
    assert!(table(&session, &id("t_new")).await.unwrap().is_none());
    drop(session);
    live::drop_database(server, client, handle).await;
}

#[tokio::test]
async fn types_come_with_what_they_are_made_of() {
    let Some((server, client, handle)) = live::database("catalog_types").await else { return };
    let session = Session::connect(&server, &[]).await.unwrap();
    let prepare = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN moods AS mood[]";
    session.execute("prepare", prepare).await.unwrap();
    let oid = session.query_one("look up", "SELECT 'moods'::regtype::oid", &[]).await.unwrap();
    let types = types_of(&session, &[oid.get(0)]).await.unwrap();
    let mut names: Vec<&str> = types.values().map(|info| info.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["_mood", "mood", "moods"]);
    let labels = TypeKind::Enum { labels: vec!["sad".to_owned(), "ok".to_owned()] };
    assert!(types.values().any(|info| info.kind == labels));
    // The fraction of money is that of the locale; where it has none, C's is there.
    session.execute("prepare", "SET lc_monetary = 'C'").await.unwrap();
    let all = super::types(&session).await.unwrap();
    let money = all.values().find(|info| info.name == "money").unwrap();
    assert_eq!(money.kind, TypeKind::Money { digits: 2 });
    drop(session);
    live::drop_database(server, client, handle).await;
}

/// `create.slot.command.timeout`: somebody's lock does not hold the task for ever.
#[tokio::test]
async fn a_statement_about_publications_has_a_limit() {
    let Some((server, client, handle)) = live::database("catalog_limit").await else { return };
    let session = Session::connect(&server, &[]).await.unwrap();
    client.batch_execute("CREATE TABLE t (a int PRIMARY KEY)").await.unwrap();
    client.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let tables = [id("t")];
    let mut publication = Publication {
        name: "limited",
        autocreate: Autocreate::Filtered,
        tables: &tables,
        via_root: false,
        publish: None,
        limit: Duration::from_millis(100),
    };
    let error = ensure_publication(&session, &publication).await.unwrap_err();
    assert_eq!(error.kind(), model::error::Kind::Retriable);
    assert!(error.trace().contains("longer than create.slot.command.timeout"), "{}", error.trace());
    client.batch_execute("COMMIT").await.unwrap();
    publication.limit = Duration::ZERO;
    assert!(ensure_publication(&session, &publication).await.unwrap());
    drop(session);
    live::drop_database(server, client, handle).await;
}
