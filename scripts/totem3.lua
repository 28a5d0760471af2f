-- Wireshark dissector of what Corosync 3 and annulusd send over udp and udpu without encryption.
--
-- Wireshark's own corosync_totemsrp knows the layout of Corosync 2 only and leaves these packets as plain UDP. Every byte
-- of a packet must be accounted for: what is too short, too long or of an unknown kind is a malformed packet here.
--
--   tshark -X lua_script:scripts/totem3.lua -r FILE        or copy it into Wireshark's plugin folder

local totem = Proto("totem3", "Totem single-ring protocol, Corosync 3")

local kinds = {
    [0] = "orf token", [1] = "data", [2] = "merge detect", [3] = "join", [4] = "commit token", [5] = "hold cancel",
}
local services = {
    [0] = "cmap", [1] = "cfg", [2] = "cpg", [3] = "quorum", [4] = "pload", [5] = "votequorum", [6] = "mon", [7] = "wd",
}

local f = {
    version = ProtoField.uint8("totem3.version", "Version"),
    kind = ProtoField.uint8("totem3.type", "Type", base.DEC, kinds),
    encapsulated = ProtoField.uint8("totem3.encapsulated", "Encapsulated", base.DEC,
        { [0] = "no data", [1] = "recovery", [2] = "plain" }),
    nodeid = ProtoField.uint32("totem3.nodeid", "Node"),
    from = ProtoField.uint32("totem3.system_from", "System from"),
    seq = ProtoField.uint32("totem3.seq", "Sequence number"),
    token_seq = ProtoField.uint32("totem3.token_seq", "Token sequence number"),
    aru = ProtoField.uint32("totem3.aru", "All received up to"),
    aru_addr = ProtoField.uint32("totem3.aru_addr", "Aru lowered by"),
    backlog = ProtoField.uint32("totem3.backlog", "Backlog"),
    fcc = ProtoField.uint32("totem3.fcc", "Sent in the last rotation"),
    retrans = ProtoField.int32("totem3.retrans_flg", "Recovery under way"),
    rtr = ProtoField.uint32("totem3.rtr", "Missing frame"),
    ring_rep = ProtoField.uint32("totem3.ring.rep", "Ring representative"),
    ring_seq = ProtoField.uint64("totem3.ring.seq", "Ring sequence"),
    counter = ProtoField.int32("totem3.this_seqno", "Sender's counter"),
    guarantee = ProtoField.uint32("totem3.guarantee", "Guarantee", base.DEC, { [0] = "agreed", [1] = "safe" }),
    proc = ProtoField.uint32("totem3.proc", "Process list entry"),
    failed = ProtoField.uint32("totem3.failed", "Failed list entry"),
    index = ProtoField.int32("totem3.memb_index", "Entries filled in"),
    member = ProtoField.uint32("totem3.member", "Member"),
    high = ProtoField.uint32("totem3.high_delivered", "Delivered up to"),
    received = ProtoField.uint32("totem3.received_flg", "Has all"),
    fragmented = ProtoField.uint8("totem3.pg.fragmented", "Continued as"),
    continuation = ProtoField.uint8("totem3.pg.continuation", "Continues"),
    count = ProtoField.uint16("totem3.pg.messages", "Messages"),
    message = ProtoField.bytes("totem3.pg.message", "Message"),
    service = ProtoField.int32("totem3.service", "Service", base.DEC, services),
    func = ProtoField.int32("totem3.function", "Function"),
}
for _, field in pairs(f) do table.insert(totem.fields, field) end

local wrong = ProtoExpert.new("totem3.wrong", "Not as the protocol has it", expert.group.MALFORMED, expert.severity.ERROR)
totem.experts = { wrong }

-- One packet being read: a buffer, a byte order, a place.
local Reader = {}
Reader.__index = Reader

function Reader:need(bytes)
    if self.at + bytes > self.stop then
        error({ why = string.format("%d bytes more are needed at %d, %d are there", bytes, self.at, self.stop - self.at) })
    end
end

function Reader:take(field, bytes)
    self:need(bytes)
    local range = self.buffer(self.at, bytes)
    self.at = self.at + bytes
    if self.little then
        self.tree:add_le(field, range)
    else
        self.tree:add(field, range)
    end
    return bytes == 8 and 0 or (self.little and range:le_uint() or range:uint())
end

function Reader:signed(field)
    self:need(4)
    local value = self.little and self.buffer(self.at, 4):le_int() or self.buffer(self.at, 4):int()
    self:take(field, 4)
    return value
end

function Reader:skip(bytes)
    self:need(bytes)
    self.at = self.at + bytes
end

function Reader:refuse(why)
    error({ why = why })
end

function Reader:ring()
    self:take(f.ring_rep, 4)
    self:take(f.ring_seq, 8)
end

function Reader:entries(field, count, limit)
    if count < 0 or count > limit then self:refuse(string.format("%d entries, at most %d may be", count, limit)) end
    for _ = 1, count do self:take(field, 4) end
end

-- The first message of a packet that is whole tells its service.
local function message(reader, length, whole)
    reader:need(length)
    local range = reader.buffer(reader.at, length)
    local branch = reader.tree:add(f.message, range)
    if whole and length > 6 then
        -- Groups: a count of u16, their lengths, their names. Group "a" is the services'.
        local read16 = function(at) return reader.little and range(at, 2):le_uint() or range(at, 2):uint() end
        local groups = read16(0)
        local name = groups == 1 and read16(2) or 0
        if groups == 1 and name == 1 and length >= 5 + 16 and range(4, 1):string() == "a" then
            local id = reader.little and range(5, 4):le_int() or range(5, 4):int()
            local service, func = math.floor(id / 65536), id % 65536
            if services[service] == nil then reader:refuse("unknown service " .. service) end
            branch:add(f.service, range(5, 4), service)
            branch:add(f.func, range(5, 4), func)
        elseif not (groups == 1 and name == 4 and length >= 8 and range(4, 4):string() == "sync") then
            reader:refuse("a message for an unknown group")
        end
    end
    reader.at = reader.at + length
end

-- Messages packed into a data frame.
local function packed(reader)
    reader:need(8)
    if reader.buffer(reader.at, 4):uint() ~= 0 then reader:refuse("unknown version or type of a packed frame") end
    reader:skip(4)
    local fragmented = reader:take(f.fragmented, 1)
    local continuation = reader:take(f.continuation, 1)
    local count = reader:take(f.count, 2)
    if count == 0 then reader:refuse("a data frame without a message") end
    local lengths = {}
    for index = 1, count do
        reader:need(2)
        local range = reader.buffer(reader.at, 2)
        lengths[index] = reader.little and range:le_uint() or range:uint()
        reader:skip(2)
    end
    for index, length in ipairs(lengths) do
        local whole = (index > 1 or continuation == 0) and (index < count or fragmented == 0)
        if whole and length == 0 then reader:refuse("a message of no bytes") end
        message(reader, length, whole)
    end
end

local frame

local bodies = {
    [0] = function(reader)
        reader:take(f.seq, 4); reader:take(f.token_seq, 4); reader:take(f.aru, 4); reader:take(f.aru_addr, 4)
        reader:ring()
        reader:take(f.backlog, 4); reader:take(f.fcc, 4); reader:signed(f.retrans)
        reader:need(4)
        local count = reader.little and reader.buffer(reader.at, 4):le_int() or reader.buffer(reader.at, 4):int()
        reader:skip(4)
        if count < 0 or count > 30 then reader:refuse(count .. " missing frames in a token") end
        for _ = 1, count do reader:ring(); reader:take(f.rtr, 4) end
    end,
    [1] = function(reader, encapsulated)
        reader:take(f.from, 4); reader:take(f.seq, 4); reader:signed(f.counter); reader:ring(); reader:skip(4)
        if reader:take(f.guarantee, 4) > 1 then reader:refuse("unknown guarantee") end
        if encapsulated == 2 then packed(reader)
        elseif encapsulated == 1 then frame(reader)
        else reader:refuse("a data frame that is neither plain nor recovery") end
    end,
    [2] = function(reader) reader:take(f.from, 4); reader:ring() end,
    [3] = function(reader)
        reader:take(f.from, 4)
        reader:need(8)
        local count = function(at)
            return reader.little and reader.buffer(at, 4):le_uint() or reader.buffer(at, 4):uint()
        end
        local procs, failed = count(reader.at), count(reader.at + 4)
        reader:skip(8)
        reader:take(f.ring_seq, 8)
        reader:entries(f.proc, procs, 384)
        reader:entries(f.failed, failed, 384)
    end,
    [4] = function(reader)
        reader:take(f.token_seq, 4); reader:ring(); reader:signed(f.retrans)
        local index = reader:signed(f.index)
        reader:need(4)
        local count = reader.little and reader.buffer(reader.at, 4):le_int() or reader.buffer(reader.at, 4):int()
        reader:skip(4)
        if index < 0 or index > count then reader:refuse("a commit token filled in beyond its members") end
        reader:entries(f.member, count, 384)
        for _ = 1, count do
            reader:ring(); reader:take(f.aru, 4); reader:take(f.high, 4); reader:take(f.received, 4)
        end
    end,
    [5] = function(reader) reader:ring() end,
}

function frame(reader)
    reader:need(13)
    local magic = reader.buffer(reader.at, 2):uint()
    if magic == 0x70c0 then reader.little = true
    elseif magic == 0xc070 then reader.little = false
    else reader:refuse("unknown magic") end
    reader:skip(2)
    if reader:take(f.version, 1) ~= 3 then reader:refuse("unknown version") end
    local kind = reader:take(f.kind, 1)
    local encapsulated = reader:take(f.encapsulated, 1)
    reader:take(f.nodeid, 4)
    reader:skip(4)
    if kinds[kind] == nil then reader:refuse("unknown type") end
    if kind ~= 1 and encapsulated ~= 0 then reader:refuse("encapsulated, but no data") end
    reader.first = reader.first or kinds[kind]
    bodies[kind](reader, encapsulated)
    return kind
end

function totem.dissector(buffer, pinfo, tree)
    pinfo.cols.protocol = "TOTEM3"
    local branch = tree:add(totem, buffer())
    local reader = setmetatable({ buffer = buffer, at = 0, stop = buffer:len(), tree = branch, little = true }, Reader)
    local good, problem = pcall(frame, reader)
    if good and reader.at ~= reader.stop then
        good, problem = false, { why = string.format("%d bytes after the end", reader.stop - reader.at) }
    end
    if good then
        pinfo.cols.info = reader.first
    else
        local why = type(problem) == "table" and problem.why or tostring(problem)
        pinfo.cols.info = "malformed: " .. why
        branch:add_proto_expert_info(wrong, why)
    end
    return buffer:len()
end

-- Tokens and joins go from 5404 to 5405, and Wireshark asks the lower port's dissector first.
DissectorTable.get("udp.port"):add("5404-5405", totem)
