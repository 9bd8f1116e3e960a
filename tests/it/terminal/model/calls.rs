//! The unary calls of the model.

use grpcio::{RpcStatus, RpcStatusCode};
use hubbub::wire::v1;

use super::world::{Verdict, World};

impl World {
    pub fn post_message(&mut self, request: v1::PostMessageRequest) -> Result<v1::PostMessageResponse, RpcStatus> {
        let v1::PostMessageRequest { room, sender, message_id, body, kind, .. } = request;
        let key = (sender.clone(), message_id.clone());
        let was_stored = self.room(&room).ids.contains_key(&key);
        if !was_stored {
            let post = v1::Post { room: room.clone(), message_id: message_id.clone(), ..Default::default() };
            let verdict = (self.judge)(&post);
            if verdict != Verdict::Break {
                self.store(&room, &sender, &message_id, &body, kind.enum_value_or_default());
            }
            if verdict != Verdict::Store {
                return Err(RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "not now".to_owned()));
            }
        }
        let seq = self.room(&room).ids[&key];
        Ok(v1::PostMessageResponse { seq, message_id, was_stored, ..Default::default() })
    }

    /// Pages have at most 7 messages, so that every reader needs several.
    pub fn list_messages(&mut self, request: &v1::ListMessagesRequest) -> Option<v1::ListMessagesResponse> {
        let room = self.rooms.get(&request.room)?;
        let head = room.events.len() as u64;
        let size = u64::from(if request.page_size == 0 { 50 } else { request.page_size }).min(7);
        let (from, to) = match request.place {
            Some(v1::list_messages_request::Place::AfterSeq(seq)) => {
                let from = (seq + 1).max(room.oldest);
                (from, (from + size).min(head + 1))
            }
            Some(v1::list_messages_request::Place::BeforeSeq(seq)) => {
                let to = seq.min(head + 1);
                (to.saturating_sub(size).max(room.oldest), to)
            }
            _ => ((head + 1).saturating_sub(size).max(room.oldest), head + 1),
        };
        let events = if from < to { room.events[from as usize - 1..to as usize - 1].to_vec() } else { Vec::new() };
        Some(v1::ListMessagesResponse {
            events,
            epoch: room.epoch,
            head_seq: head,
            oldest_seq: room.oldest,
            ..Default::default()
        })
    }

    /// Pages have one room.
    pub fn list_rooms(&mut self, request: &v1::ListRoomsRequest) -> v1::ListRoomsResponse {
        let after = self.rooms.iter().filter(|(name, _)| **name > request.page_token);
        let mut response = v1::ListRoomsResponse::new();
        if let Some((name, room)) = after.clone().next() {
            let members = self.streams.values().filter(|stream| stream.rooms.contains(name)).count();
            response.rooms.push(v1::Room {
                name: name.clone(),
                room_id: room.id,
                epoch: room.epoch,
                head_seq: room.events.len() as u64,
                oldest_seq: room.oldest,
                member_count: members as u32,
                ..Default::default()
            });
            if after.count() > 1 {
                response.next_page_token = name.clone();
            }
        }
        response
    }

    /// Pages have one member.
    pub fn list_members(&mut self, request: &v1::ListMembersRequest) -> Option<v1::ListMembersResponse> {
        self.rooms.get(&request.room)?;
        let token = request.page_token.parse().unwrap_or(0);
        let mut members =
            self.streams.iter().filter(|(id, stream)| stream.rooms.contains(&request.room) && **id > token);
        let mut response = v1::ListMembersResponse::new();
        if let Some((&client_id, stream)) = members.next() {
            response.members.push(v1::Member { client_id, name: stream.name.clone(), ..Default::default() });
            if members.next().is_some() {
                response.next_page_token = client_id.to_string();
            }
        }
        Some(response)
    }
}
