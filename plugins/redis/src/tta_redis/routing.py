"""What a command's name says: where its first key stands, whether it only reads, whether it holds others up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from redis.crc import key_slot


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_KEYLESS = _names(
    "PING ECHO INFO TIME DBSIZE CONFIG CLIENT CLUSTER SCRIPT FUNCTION COMMAND ACL LASTSAVE PUBLISH PUBSUB SLOWLOG "
    "LATENCY ROLE SCAN KEYS FLUSHALL FLUSHDB RANDOMKEY WAIT WAITAOF BGSAVE BGREWRITEAOF REPLICAOF"
)
_SECOND = _names("OBJECT XINFO XGROUP MEMORY DEBUG BITOP")
_NUMKEYS = _names("EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO")
_NUMKEYS_FIRST = _names("ZUNION ZINTER ZDIFF ZINTERCARD SINTERCARD LMPOP ZMPOP")
_READS = _names(
    "GET MGET GETRANGE STRLEN EXISTS TTL PTTL EXPIRETIME PEXPIRETIME TYPE DUMP OBJECT SCAN KEYS RANDOMKEY DBSIZE "
    "HGET HMGET HGETALL HEXISTS HLEN HKEYS HVALS HSTRLEN HSCAN HRANDFIELD "
    "LRANGE LINDEX LLEN LPOS SMEMBERS SISMEMBER SMISMEMBER SCARD SSCAN SRANDMEMBER SINTER SUNION SDIFF SINTERCARD "
    "ZRANGE ZRANGEBYSCORE ZRANGEBYLEX ZREVRANGE ZREVRANGEBYSCORE ZCARD ZCOUNT ZLEXCOUNT ZSCORE ZMSCORE ZRANK ZREVRANK "
    "ZSCAN ZRANDMEMBER ZUNION ZINTER ZDIFF XRANGE XREVRANGE XLEN XINFO XPENDING XREAD BITCOUNT GETBIT BITPOS PFCOUNT "
    "GEOPOS GEODIST GEOSEARCH PING ECHO INFO TIME ROLE LASTSAVE MEMORY EVAL_RO EVALSHA_RO FCALL_RO PUBSUB"
)
_BLOCKING = _names(
    "BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF SUBSCRIBE PSUBSCRIBE SSUBSCRIBE "
    "UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR MULTI EXEC DISCARD WATCH UNWATCH HELLO AUTH SELECT RESET QUIT "
    "READONLY READWRITE ASKING PSYNC SYNC"
)


def name_of(command: Sequence[Any]) -> str:
    """Return a command's name in capitals."""
    name = command[0]
    return (name.decode() if isinstance(name, bytes) else str(name)).upper()


def first_key(command: Sequence[Any]) -> str | bytes | None:
    """Return the key that says where on a Cluster a command goes, or None if it has none."""
    name = name_of(command)
    if name in _KEYLESS or len(command) < 2:
        return None
    if name in _NUMKEYS:
        return _key(command[3]) if len(command) > 3 and int(command[2]) else None
    if name in ("XREAD", "XREADGROUP"):
        names = [str(part).upper() for part in command]
        return _key(command[names.index("STREAMS") + 1])
    if name in _SECOND or name in _NUMKEYS_FIRST:
        return _key(command[2]) if len(command) > 2 else None
    return _key(command[1])


def read_only(command: Sequence[Any]) -> bool:
    """Whether a command only reads."""
    return name_of(command) in _READS


def blocks(command: Sequence[Any]) -> bool:
    """Whether a command would block a shared connection, or change what it means to others."""
    name = name_of(command)
    if name in ("XREAD", "XREADGROUP"):
        return any(isinstance(part, str) and part.upper() == "BLOCK" for part in command[1:6])
    return name in _BLOCKING or (name == "CLIENT" and str(command[1]).upper() in ("REPLY", "PAUSE", "TRACKING"))


def slot_of(key: str | bytes | None) -> int:
    """Return a key's slot on a Cluster, -1 without a key."""
    if key is None:
        return -1
    return key_slot(key.encode() if isinstance(key, str) else key)


@lru_cache(maxsize=1024)
def tag_of(slot: int) -> str:
    """Return a tag with which a key has this slot; none where there are no slots."""
    return "" if slot < 0 else next(tag for tag in map(str, count()) if key_slot(tag.encode()) == slot)


def _key(value: Any) -> str | bytes:
    return value if isinstance(value, str | bytes) else str(value)
