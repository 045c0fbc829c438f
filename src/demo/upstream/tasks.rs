//! All conversations, in memory and within fixed bounds: the oldest task makes room for a
//! new one.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::http::StatusCode;

use super::{
    Refusal,
    body::NewMessage,
    task::{Job, Role, Status, Summary, Task},
};

/// How many tasks are remembered, over all users.
const MAX_TASKS: usize = 128;

/// All tasks, the oldest first.
#[derive(Default)]
pub(super) struct Tasks(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    created: u64,
    tasks: VecDeque<Task>,
}

impl Tasks {
    /// Stores a new task and returns its id, with the job to run when it is to be executed.
    pub(super) fn create(
        &self,
        owner: Option<String>,
        asked: NewMessage,
        now: String,
    ) -> Result<(String, Option<Job>), Refusal> {
        let mut inner = self.lock();
        inner.created += 1;
        let mut task = Task {
            id: format!("task_{}", inner.created),
            owner,
            listed: asked.show_in_history,
            status: Status::Pending,
            created_at: now.clone(),
            messages: Vec::new(),
            run: None,
        };
        let id = task.id.clone();
        let execute = asked.auto_execute;
        let job = if execute {
            Some(task.ask(asked, now)?)
        } else {
            task.push(Role::User, asked.message, asked.files, now);
            None
        };
        if inner.tasks.len() == MAX_TASKS {
            inner.tasks.pop_front();
        }
        inner.tasks.push_back(task);
        Ok((id, job))
    }

    /// Adds a message to a task of this owner.
    pub(super) fn add(&self, id: &str, owner: Option<&str>, asked: NewMessage, now: String) -> Result<Job, Refusal> {
        let mut inner = self.lock();
        let task = inner.find(id).filter(|task| task.owner.as_deref() == owner);
        let task = task.ok_or_else(unknown_task)?;
        let job = task.ask(asked, now)?;
        task.status = Status::Running;
        Ok(job)
    }

    /// The task, if it is this owner's. Another owner's task does not exist.
    pub(super) fn get(&self, id: &str, owner: Option<&str>) -> Result<Task, Refusal> {
        let mut inner = self.lock();
        let task = inner.find(id).filter(|task| task.owner.as_deref() == owner);
        task.cloned().ok_or_else(unknown_task)
    }

    /// The owner's tasks from `offset` on, the newest first, and how many there are in all.
    pub(super) fn page(&self, owner: Option<&str>, offset: usize, limit: usize) -> (Vec<Summary>, usize) {
        let inner = self.lock();
        let own = |task: &&Task| task.listed && task.owner.as_deref() == owner;
        let own: Vec<&Task> = inner.tasks.iter().rev().filter(own).collect();
        let page = own.iter().skip(offset).take(limit).map(|task| task.summary());
        (page.collect(), own.len())
    }

    pub(super) fn start(&self, id: &str) {
        if let Some(task) = self.lock().find(id) {
            task.status = Status::Running;
        }
    }

    /// Files the answer and closes the run.
    pub(super) fn complete(&self, id: &str, text: String, now: String) {
        if let Some(task) = self.lock().find(id) {
            task.push(Role::Assistant, text, Vec::new(), now);
            task.status = Status::Completed;
            task.run = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is made whole under the lock, so a panicked holder leaves no half.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&mut self, id: &str) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }
}

fn unknown_task() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "TASK_NOT_FOUND", "There is no such task.")
}

#[cfg(test)]
mod tests {
    use super::{super::task::MAX_MESSAGES, *};

    fn asked() -> NewMessage {
        NewMessage {
            message: "hi".into(),
            files: Vec::new(),
            context: Vec::new(),
            show_in_history: true,
            auto_execute: true,
        }
    }

    #[test]
    fn the_oldest_task_makes_room_for_a_new_one() {
        let tasks = Tasks::default();
        for _ in 0..=MAX_TASKS {
            assert!(tasks.create(None, asked(), String::new()).is_ok());
        }
        assert!(tasks.get("task_1", None).is_err());
        assert!(tasks.get("task_2", None).is_ok());
        assert_eq!(tasks.page(None, 0, 50).1, MAX_TASKS);
    }

    #[test]
    fn a_full_task_takes_no_more_messages() {
        let tasks = Tasks::default();
        assert!(tasks.create(None, asked(), String::new()).is_ok());
        for _ in 1..MAX_MESSAGES / 2 {
            tasks.complete("task_1", "answer".into(), String::new());
            assert!(tasks.add("task_1", None, asked(), String::new()).is_ok());
        }
        tasks.complete("task_1", "answer".into(), String::new());
        assert!(tasks.add("task_1", None, asked(), String::new()).is_err());
    }

    #[test]
    fn another_users_task_does_not_exist() {
        let tasks = Tasks::default();
        assert!(tasks.create(Some("ada".into()), asked(), String::new()).is_ok());
        assert!(tasks.get("task_1", Some("ada")).is_ok());
        assert!(tasks.get("task_1", Some("grace")).is_err());
        assert!(tasks.get("task_1", None).is_err());
    }

    #[test]
    fn a_running_task_takes_no_second_message() {
        let tasks = Tasks::default();
        let created = tasks.create(None, asked(), String::new());
        assert!(created.is_ok());
        assert!(tasks.add("task_1", None, asked(), String::new()).is_err());
    }
}
