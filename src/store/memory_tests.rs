use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn token(text: &str) -> TokenId {
    text.parse().expect("id")
}

#[tokio::test]
async fn a_record_lives_until_its_time() {
    let store = Memory::new(10_000);
    store.put(&token("a"), vec![1], at(10)).await.expect("kept");
    assert_eq!(store.get(&token("a"), at(9)).await, Ok(Some(vec![1])));
    assert_eq!(store.get(&token("a"), at(10)).await, Ok(None));
    assert_eq!(store.get(&token("b"), at(9)).await, Ok(None));
}

#[tokio::test]
async fn a_full_store_refuses_and_keeps_what_it_has() {
    let store = Memory::new(2 * ENTRY_COST);
    store.put(&token("a"), vec![1; 100], at(10)).await.expect("kept");
    assert_eq!(store.put(&token("b"), vec![2; 200], at(10)).await, Err(Unavailable));
    assert_eq!(store.get(&token("a"), at(1)).await, Ok(Some(vec![1; 100])));
    store.sweep(at(10)).await.expect("swept");
    store.put(&token("b"), vec![2; 200], at(20)).await.expect("room again");
}

#[tokio::test]
async fn a_token_id_is_taken_once() {
    let store = Memory::new(10_000);
    store.put(&token("a"), vec![1], at(10)).await.expect("kept");
    assert_eq!(store.put(&token("a"), vec![2], at(20)).await, Err(Unavailable));
    assert_eq!(store.get(&token("a"), at(1)).await, Ok(Some(vec![1])));
}

#[tokio::test]
async fn owners_are_kept_by_app_and_user_and_never_replaced() {
    let store = Memory::new(100_000);
    let (app, other_app): (AppId, AppId) = ("a".parse().expect("id"), "b".parse().expect("id"));
    let (ada, grace): (EndUserId, EndUserId) = ("ada".parse().expect("id"), "grace".parse().expect("id"));
    let task: ConversationId = "task_1".parse().expect("id");
    let owner = Owner { app: &app, end_user: &ada };
    store.record(owner, &task).await.expect("kept");
    assert_eq!(store.owns(owner, &task).await, Ok(true));
    assert_eq!(store.owns(Owner { end_user: &grace, ..owner }, &task).await, Ok(false));
    assert_eq!(store.owns(Owner { app: &other_app, ..owner }, &task).await, Ok(false));
    assert_eq!(store.record(owner, &task).await, Ok(()));
    assert_eq!(store.record(Owner { end_user: &grace, ..owner }, &task).await, Err(Unavailable));
    assert_eq!(store.of(owner).await, Ok(HashSet::from([task])));
    assert_eq!(store.of(Owner { end_user: &grace, ..owner }).await, Ok(HashSet::new()));
}

#[tokio::test]
async fn room_is_told_before_it_runs_out() {
    let store = Memory::new(20_000);
    let app: AppId = "a".repeat(64).parse().expect("id");
    let user: EndUserId = "u".repeat(256).parse().expect("id");
    let owner = Owner { app: &app, end_user: &user };
    for index in 0.. {
        let task: ConversationId = format!("{index:0>128}").parse().expect("id");
        if store.has_room().await != Ok(true) {
            break;
        }
        store.record(owner, &task).await.expect("there was room");
    }
}

#[tokio::test]
async fn owners_leave_room_for_contexts() {
    let store = Memory::new(100_000);
    let (app, user): (AppId, EndUserId) = ("a".parse().expect("id"), "u".parse().expect("id"));
    let owner = Owner { app: &app, end_user: &user };
    for index in 0.. {
        let task: ConversationId = format!("task_{index}").parse().expect("id");
        if store.record(owner, &task).await.is_err() {
            break;
        }
    }
    assert_eq!(store.has_room().await, Ok(false));
    store.put(&token("a"), vec![1; 40_000], at(10)).await.expect("room for a context");
}
