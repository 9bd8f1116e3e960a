// The messages of proto/hubbub/v1/chat.proto that the page uses, in canonical JSON: 64-bit numbers and bytes are strings,
// and what has its default value is absent. web/tests/types.mjs compares this file with the contract.
declare namespace Wire {
  interface Event {
    roomId?: string;
    seq?: string;
    timeMs?: string;
    message?: Message;
    welcome?: Welcome;
    joined?: Joined;
    caughtUp?: CaughtUp;
    gap?: Gap;
    presence?: Presence;
    posted?: Posted;
    rejected?: Rejected;
    left?: Left;
    goodbye?: Goodbye;
    edited?: Edited;
    reacted?: Reacted;
    deleted?: Deleted;
    pinned?: Pinned;
    roomChanged?: RoomChanged;
  }
  interface Message {
    messageId?: string;
    sender?: string;
    body?: string;
    kind?: 'KIND_UNSPECIFIED' | 'KIND_TEXT' | 'KIND_ACTION';
    replyToSeq?: string;
    mentions?: string[];
    changedSeq?: string;
    editedSeq?: string;
    editedMs?: string;
    deletedBy?: Person;
    reactions?: Reaction[];
    clientId?: string;
    authenticated?: boolean;
  }
  interface Person {
    name?: string;
    authenticated?: boolean;
  }
  interface Reaction {
    emoji?: string;
    count?: number;
    people?: Person[];
  }
  interface Edited {
    messageSeq?: string;
    body?: string;
    mentions?: string[];
  }
  interface Reacted {
    messageSeq?: string;
    emoji?: string;
    by?: Person;
    removed?: boolean;
  }
  interface Deleted {
    messageSeq?: string;
    by?: Person;
  }
  interface Pinned {
    messageSeq?: string;
    by?: Person;
    removed?: boolean;
  }
  interface RoomChanged {
    by?: Person;
    topic?: string;
  }
  interface Welcome {
    clientId?: string;
    serverVersion?: string;
    limits?: Limits;
    name?: string;
    authenticated?: boolean;
    role?: string;
    loginEndsMs?: string;
  }
  interface Limits {
    nameCharsMax?: number;
    bodyBytesMax?: number;
    requestBytesMax?: number;
    commandsMax?: number;
    roomsMax?: number;
  }
  interface Joined {
    room?: string;
    epoch?: string;
    headSeq?: string;
    oldestSeq?: string;
    memberCount?: number;
    firstSeq?: string;
    topic?: string;
    pinnedSeqs?: string[];
  }
  interface CaughtUp {
    headSeq?: string;
  }
  interface Gap {
    fromSeq?: string;
    toSeq?: string;
    reason?: 'REASON_UNSPECIFIED' | 'REASON_RETENTION' | 'REASON_EPOCH_CHANGED' | 'REASON_DAMAGED';
  }
  interface Presence {
    clientId?: string;
    name?: string;
    change?: 'CHANGE_UNSPECIFIED' | 'CHANGE_JOINED' | 'CHANGE_LEFT';
    authenticated?: boolean;
  }
  interface Goodbye {
    reason?: string;
    reconnectAfterMs?: number;
  }
  interface Hello {
    name?: string;
    clientVersion?: string;
  }
  interface Join {
    room?: string;
    after?: Position;
    last?: number;
  }
  interface Position {
    seq?: string;
    epoch?: string;
  }
  interface ListMessagesRequest {
    room?: string;
    afterSeq?: string;
    beforeSeq?: string;
    pageSize?: number;
  }
  interface ListMessagesResponse {
    events?: Event[];
    epoch?: string;
    headSeq?: string;
    oldestSeq?: string;
  }
  interface Room {
    name?: string;
    roomId?: string;
    epoch?: string;
    headSeq?: string;
    oldestSeq?: string;
    memberCount?: number;
    topic?: string;
  }
  interface ListRoomsResponse {
    rooms?: Room[];
    nextPageToken?: string;
  }
  interface Member {
    clientId?: string;
    name?: string;
    authenticated?: boolean;
  }
  interface ListMembersResponse {
    members?: Member[];
    nextPageToken?: string;
  }
  interface Found {
    room?: string;
    epoch?: string;
    event?: Event;
  }
  interface SearchMessagesResponse {
    found?: Found[];
    nextPageToken?: string;
    behindCount?: string;
  }
  interface Posted {
    messageId?: string;
    messageSeq?: string;
  }
  interface Rejected {
    messageId?: string;
    room?: string;
    code?: 'CODE_UNSPECIFIED' | 'CODE_INVALID' | 'CODE_NOT_JOINED' | 'CODE_ALREADY_JOINED' | 'CODE_TOO_MANY_ROOMS' | 'CODE_UNAVAILABLE' | 'CODE_UNKNOWN' | 'CODE_LIMITED' | 'CODE_CONFLICT' | 'CODE_DENIED';
    reason?: string;
    retryAfterMs?: number;
  }
  interface Left {
    room?: string;
  }
  interface FollowRequest {
    hello?: Hello;
    rooms?: Join[];
  }
  interface FollowResponse {
    events?: Event[];
  }
}
